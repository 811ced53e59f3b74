"""Simulated days of polling: the other side at its worst, one seed a day, the same seed the same."""
