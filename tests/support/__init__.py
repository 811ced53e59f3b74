"""What the tests share: a hand clock, builders, small real stand-ins, databases and servers."""
