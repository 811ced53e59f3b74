"""Tests of the incoming half."""
