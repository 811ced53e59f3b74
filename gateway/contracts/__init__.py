"""One module per API; each holds everything that is particular to it, and is pure."""
