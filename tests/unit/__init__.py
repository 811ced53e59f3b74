"""Decisions, without a database: everything here is values in, values out."""
