"""Robot configs that differ from the shipped one in a single place."""

from pathlib import Path

import yaml

from porl_ros.paths import resolve_robot_config
from porl_ros.robot.config import RobotConfig

REMOVED = object()


def edited(key: str, value: object) -> dict:
    """The shipped file's content with `key`, like `observation.features.0.scale`, set."""
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    *parents, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    inner = content
    for part in parents:
        inner = inner[part]
    if value is REMOVED:
        del inner[last]
    else:
        inner[last] = value
    return content


def write_robot(path: Path, key: str, value: object) -> Path:
    """A file with one edit."""
    path.write_text(yaml.safe_dump(edited(key, value)))
    return path


def make_robot(**edits: object) -> RobotConfig:
    """The shipped robot with top-level sections updated, `action={"scale": 0.1}`."""
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    for section, changes in edits.items():
        if isinstance(changes, dict):
            content[section] |= changes
        else:
            content[section] = changes
    return RobotConfig.model_validate(content)
