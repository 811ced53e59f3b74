"""Faults, caused for real and judged by the other side's own log."""
