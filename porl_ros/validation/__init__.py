"""Judging policies in simulation."""
