"""Histories of faults on virtual time, from a seed, and a judge that reads only the outside."""
