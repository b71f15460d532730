"""Gradient updates a second of the learner, of its rivals, and of the bare products in them."""
