"""ROS 2 adapters: the only room that may import rclpy."""
