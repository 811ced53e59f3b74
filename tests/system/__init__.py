"""The whole thing: processes, signals, the command, and the sandbox as the witness."""
