"""The tables at work, on SQLite and on PostgreSQL, under a hand clock."""
