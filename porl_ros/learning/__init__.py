"""Behaviour cloning, critics from scratch, and PORL. Pure torch: no ROS, no simulator."""
