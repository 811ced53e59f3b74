"""What the contracts promise."""
