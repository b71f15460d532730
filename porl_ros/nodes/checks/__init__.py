"""A robot config and a policy against nodes that run."""
