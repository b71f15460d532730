"""The contract that most tests are about."""

import pytest

from porl_ros.robot.config import RobotConfig, load_robot


@pytest.fixture(scope="session")
def config() -> RobotConfig:
    """The shipped insertion robot; frozen, so all tests may share it."""
    return load_robot("ur5e_insert")
