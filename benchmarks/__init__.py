"""Speed as ratios within one run, with counters as gates: `python -m benchmarks`."""
