"""The outgoing half: from entries to calls."""
