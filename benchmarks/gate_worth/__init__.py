"""What the gate is worth: what it says of policies, held against what they do on the twin."""
