"""Recordings of ROS 2 become runs of a store."""
