"""The replay store beside what people use instead; see `command.py`."""
