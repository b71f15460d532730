"""Puts in order what a check finds wrong, as far as it can be. Nothing is ever deleted."""

from dataclasses import dataclass, field
from pathlib import Path

from porl_ros.replay.disk.layout import RunFolder, folder_lock, set_aside
from porl_ros.replay.disk.losses import record_losses
from porl_ros.replay.disk.recovery import recover_run, run_lock
from porl_ros.replay.errors import RunLocked, StoreNotWritable
from porl_ros.replay.schema import RunIdentity
from porl_ros.replay.tools.check import RunCheck, check_run, examine


@dataclass
class Repair:
    """What became of a run; without a repair, `after` is `before`."""

    before: RunCheck
    after: RunCheck
    aside: list[Path] = field(default_factory=list)  # what was damaged, under its new name

    @property
    def needed(self) -> bool:
        """Whether there was anything to repair."""
        waiting = self.before.journals and not self.before.writing
        return bool(self.before.faults or waiting)

    @property
    def refused(self) -> bool:
        """Whether it was left alone because a writer holds it."""
        return self.needed and self.before.writing


def repair_run(folder: RunFolder, identity: RunIdentity, dry_run: bool = False) -> Repair:
    """Rename what is damaged to `*.damaged`, seal the journals of a writer that has ended, and
    put on record which rows are lost for ever. A run that is being written is left alone.

    Raises StoreNotWritable.
    """
    before = check_run(folder, identity)
    repair = Repair(before, before)
    if dry_run or repair.refused or not repair.needed:
        return repair
    try:
        # The lock that writers hold while they begin and recover, so none is in between
        with folder_lock(folder.path.parent), run_lock(folder):
            return _repair(folder, identity)
    except RunLocked:  # since the check; its writer has recovered what there was
        return Repair(before, check_run(folder, identity))
    except OSError as error:
        raise StoreNotWritable(
            f"store: {folder.path} cannot be written ({error}); free the disk, or repair it as a "
            "user who may write there"
        ) from error


def _repair(folder: RunFolder, identity: RunIdentity) -> Repair:
    before = examine(folder, identity, writing=False)
    known = _set_aside(folder)
    for path in before.damaged:
        if path.parent == folder.segments:
            set_aside(path)
    recover_run(folder, identity)  # which sets damaged journals aside
    after = examine(folder, identity, writing=False)
    if after.gaps:
        record_losses(folder, after.gaps)
        after = examine(folder, identity, writing=False)
    return Repair(before, after, sorted(_set_aside(folder) - known))


def _set_aside(folder: RunFolder) -> set[Path]:
    return {path for part in (folder.segments, folder.journal) for path in part.glob("*.damaged")}
