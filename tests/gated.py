"""Records of validations, signed by a site key of the test's own."""

from datetime import UTC, datetime
from pathlib import Path

import yaml

from porl_ros.paths import resolve_robot_config
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.variant import Calibration
from porl_ros.validation.admission import describe
from porl_ros.validation.record import Measured, Record, write_record

CALIBRATION = Calibration(
    robot="ur5e_insert", contract_hash="0" * 64, stores=("runs/arm",), episodes=40,
    start="calibrated", residual_before=0.0052, residual_after=0.0011, intervals={}, untold={},
)  # fmt: skip


def episode(seed: int, success: bool = True, **changes) -> Measured:
    """One that is beyond reproach."""
    said = {
        "seed": seed, "nominal": True, "success": success, "returned": float(success),
        "steps": 30, "intervened": 0, "interventions": {}, "velocity": 0.5, "acceleration": 0.5,
        "contact_force": 10.0, "roughness": 0.3,
    }  # fmt: skip
    return Measured(**said | changes)


def make_record(bundle: Path, config: RobotConfig, **changes) -> Record:
    """Of a bundle that was admitted just now."""
    said = {
        "bundle": bundle.name, "policy_version": 0, "robot": config.name,
        "scene": config.simulation.scene, "cell": config.simulation.variant,
        "made": describe(bundle, config), "purpose": "policy", "reference": None,
        "decision": "admitted", "why": "everything asked for holds", "criteria": (), "chances": {},
        "episodes": tuple(episode(seed) for seed in range(40)), "planned": 200,
        "rule": config.gate.rule.model_dump(mode="json"), "suite": {}, "variant": {},
        "packages": {}, "made_at": datetime.now(UTC), "made_by": "a test", "seconds": 1.0,
    }  # fmt: skip
    return Record(**said | changes)


def admit(bundle: Path, config: RobotConfig, **changes) -> Path:
    """Write such a record."""
    return write_record(bundle, make_record(bundle, config, **changes))


def robot_file(path: Path, cell: str = "calibrated", **rule: object) -> Path:
    """The shipped robot, judged where its policy was cloned, by another rule."""
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    content["simulation"]["variant"] = cell
    content["gate"]["rule"] |= rule
    path.write_text(yaml.safe_dump(content))
    return path
