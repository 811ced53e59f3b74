"""What people read: rows put into words. Changes rows at most, never calls the remote API."""
