"""Each record on both sides: what both halves, outgoing and incoming, build on."""
