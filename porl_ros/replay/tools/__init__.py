"""What `porl replay` does with a store."""
