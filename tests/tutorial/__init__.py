"""The tutorial's file of events, and what becomes of it."""
