"""What any process needs before it can work: settings, database, broker, clock, log, loop."""
