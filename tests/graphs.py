"""Graphs that nobody else is on: no robot that is near, and no other test of this machine."""

import fcntl
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LAST = 99  # above 101, ports of a domain are those that the kernel gives to anybody


def take_domain() -> tuple[int, IO]:
    """A ROS_DOMAIN_ID, and the file that keeps it ours until it is closed."""
    for number in random.SystemRandom().sample(range(1, LAST + 1), LAST):
        # Kept open on purpose. Not deleted: who waits for it would hold another file.
        lock = open(Path(tempfile.gettempdir()) / f"porl_ros-test-domain-{number}", "w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number, lock
        except BlockingIOError:
            lock.close()
    raise RuntimeError(f"all {LAST} ROS domains are taken by tests that run: wait for one to end")


@contextmanager
def own_graph() -> Iterator[None]:
    """No other test's nodes are on it, living or killed a moment ago."""
    before = os.environ["ROS_DOMAIN_ID"]
    number, lock = take_domain()
    with lock:
        os.environ["ROS_DOMAIN_ID"] = str(number)
        try:
            yield
        finally:
            os.environ["ROS_DOMAIN_ID"] = before
