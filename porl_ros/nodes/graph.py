"""Who can find our nodes: by default nobody outside this machine."""

import os
import random

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"


def stay_local() -> bool:
    """Keep the graph on this machine unless asked otherwise; whether nobody had asked. Call it
    before rclpy starts."""
    if RANGE in os.environ:
        return False
    os.environ[RANGE] = "LOCALHOST"
    return True


def private_domain() -> None:
    """Stay local, and apart from others on this machine, unless told otherwise."""
    stay_local()
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randrange(1, 101)))
