"""The `porl` command."""
