"""Which nodes make a system, and how they are started."""
