"""The remote API as seen from here: its contracts, its quota, and the one client that calls it."""
