"""What the things are: keys, events, states, plans, outcomes and tables. No IO."""
