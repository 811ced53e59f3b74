"""Processes and Dramatiq actors: wiring, and nothing else."""
