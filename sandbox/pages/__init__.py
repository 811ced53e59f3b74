"""The pages for people: what this is, who is in it, what arrived; and the 24 operations."""
