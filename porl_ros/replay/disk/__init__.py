"""What lies in a store, and the steps that keep it whole whatever happens."""
