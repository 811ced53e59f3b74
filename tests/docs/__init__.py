"""The documentation: complete, and true where it shows code or names a test."""
