"""What a person says: stop, taking over, marks and resets."""
