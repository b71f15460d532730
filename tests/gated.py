"""Records of validations, signed by a site key of the test's own."""

from datetime import UTC, datetime
from pathlib import Path

from porl_ros.robot.config import RobotConfig
from porl_ros.validation.admission import describe
from porl_ros.validation.record import Measured, Record, write_record


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
