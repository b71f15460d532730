"""The memory that a learner samples from."""
