"""Side-by-side measurements. Not tests: they print tables and write JSON, and never fail."""
