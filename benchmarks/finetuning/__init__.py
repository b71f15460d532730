"""Fine-tuning compared: tasks with a base policy each, methods under one code path, one report."""
