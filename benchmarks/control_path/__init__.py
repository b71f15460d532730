"""What the policy node adds to the latency of a control step, and whether it misses ticks.

Three processes, as on a robot: the robot (sensors out, commands in), who answers, and the learner.
"""
