"""How big and how quick the sandbox is: `python -m benchmarks.sandbox`."""
