"""The incoming half: reads what changed there, keeps the mirror, tells local systems."""
