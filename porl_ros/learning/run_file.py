"""What a fine-tuning was made of: `run.json` in its output folder, for whoever reports on it.

Paths in it are relative to that folder, so that a run may be moved with all that belongs to it.
"""

import json
import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, ValidationError

from porl_ros.configfile import StrictModel
from porl_ros.errors import PorlError
from porl_ros.learning.config import PorlConfig
from porl_ros.policy.files import read_file

NAME = "run.json"
MAX_SIZE = 2**20
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RunFileError(PorlError):
    """A folder is not the output of a fine-tuning, or its description is damaged."""


class RunFile(StrictModel):
    """`id` tells the run from others, also in the audit log; `settings` are those it began with.
    `robot` is the name of a shipped robot config, or a path."""

    format_version: Literal[1] = 1
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    robot: str
    contract_hash: Hash
    base: str
    base_sha256: Hash
    base_version: int = Field(ge=0)
    store: str
    demonstrations: str | None
    mode: Literal["lockstep", "paced"]
    device: str
    seed: int = Field(ge=0)
    settings: PorlConfig
    began_at: AwareDatetime


def write_run_file(
    output: Path, resumed: bool, robot: str, paths: dict[str, Path | None], **facts: Any
) -> str:
    """Describe the run and return its id. One that is `resumed` stays the one that it was.
    `paths`: base, store, demonstrations. Raises RunFileError."""
    if resumed:
        with suppress(RunFileError):
            return read_run_file(output).id
    written = {name: path and os.path.relpath(path, output) for name, path in paths.items()}
    if Path(robot).is_file():
        robot = os.path.relpath(robot, output)
    run = RunFile(
        id=secrets.token_hex(8), robot=robot, began_at=datetime.now(UTC), **written, **facts
    )
    temporary = output / f".{NAME}.{run.id}.tmp"
    try:
        output.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(run.model_dump(mode="json"), indent=1) + "\n")
        os.replace(temporary, output / NAME)
    except OSError as error:
        raise RunFileError(
            f"{output / NAME}: cannot be written: {error.strerror}; make room, or name another "
            "output folder"
        ) from None
    return run.id


def read_run_file(output: Path) -> RunFile:
    """Raises RunFileError."""
    path = output / NAME
    if not path.is_file():
        raise RunFileError(
            f"{output}: has no {NAME}, so it is not the output folder of a fine-tuning node; name "
            "the folder that was given as `output`, or the run folder of `porl demo`"
        )
    try:
        return RunFile.model_validate_json(read_file(path, MAX_SIZE, RunFileError))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise RunFileError(f"{path}: {where}: {first['msg']}; put it right again") from None
