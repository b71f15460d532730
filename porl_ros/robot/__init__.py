"""What a robot is: its contract, observations, actions, safety limits and rewards."""
