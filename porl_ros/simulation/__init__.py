"""MuJoCo as a stand-in for the robot: scenes, simulated robots, tasks, experts, Gymnasium."""
