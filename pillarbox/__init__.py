"""The command: the one place that knows everything."""
