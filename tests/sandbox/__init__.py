"""The sandbox, rule by rule."""
