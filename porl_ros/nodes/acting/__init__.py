"""From sensor messages to commands: steps, episodes, watchdogs, what is recorded."""
