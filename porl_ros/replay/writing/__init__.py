"""The robot's side: logging without waiting, made durable by threads of its own."""
