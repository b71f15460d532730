"""How nodes are: diagnostics, metrics, and who listens to them."""
