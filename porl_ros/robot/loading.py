"""Reading a robot config and checking it against everything that it refers to."""

from pathlib import Path

from porl_ros.errors import ConfigError
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Controller


def load_robot(name: str | Path) -> RobotConfig:
    """Read a robot config and check it against its arm model and its own signals too."""
    config = RobotConfig.load(name)
    try:
        Controller(config)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    return config
