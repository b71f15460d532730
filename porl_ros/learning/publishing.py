"""New versions of the policy, numbered on and never overwritten."""

import logging
from pathlib import Path

import torch
from torch import nn

from porl_ros.errors import PorlError
from porl_ros.learning.trainer import Trainer
from porl_ros.policy.bundle import Manifest, PolicyBundle, load_bundle, read_manifest, save_bundle
from porl_ros.policy.network import Actor
from porl_ros.robot.config import RobotConfig

log = logging.getLogger(__name__)

MADE_BY = "porl finetune"


class Publisher:
    """Writes bundles beside those that are there. One thread.

    Versions only rise, whatever a learner that is started again does once more: a policy that is
    there already, because an earlier process came as far, is not written again.
    """

    def __init__(
        self, folder: Path, robot: RobotConfig, base: PolicyBundle, exploration_std: float
    ):
        self._folder, self._robot, self._base = folder, robot, base
        self.exploration_std = exploration_std
        self.version = base.manifest.version  # the newest that the policy side is to know of
        self.latest = base.path
        self._earlier: dict[tuple[int, int, int], int] | None = None  # see `_ours`

    def resume(self, version: int) -> None:
        """Go on after this version, or after newer ones that an earlier process came to."""
        self.version = version
        for newer in sorted(self._versions(), reverse=True):
            bundle = self._load(newer) if newer >= version else None
            if bundle and self._is_ours(bundle.manifest):
                self.version, self.latest = newer, bundle.path
                return

    def publish(self, trainer: Trainer, returns: dict[str, int]) -> bool:
        """Write the policy as it is now, after each robot went back so often; False if the disk
        takes nothing, which is said: the next one may fit."""
        if self._is_there(trainer, returns):
            return True
        version = max(self.version, *self._versions(), 0) + 1
        path = self._path(version)
        try:
            self._write(path, version, trainer, returns)
        except OSError as error:
            log.error("learner: %s: no bundle written, learning goes on: %s", path, error)
            return False
        self.version, self.latest = version, path
        return True

    def _write(self, path: Path, version: int, trainer: Trainer, returns: dict[str, int]) -> None:
        save_bundle(
            path,
            trainer.porl.acting,
            self._robot.contract,
            made_by=MADE_BY,
            version=version,
            parent=self._base.manifest.weights_sha256,
            returns=returns,
            exploration_std=self.exploration_std,
            env_steps=trainer.env_steps,
            gradient_steps=trainer.porl.critic_updates,
        )

    def actor_of(self, version: int) -> Actor:
        """The policy that acts again; the base where it cannot be told any more."""
        if version == self._base.manifest.version:
            return self._base.actor
        try:
            return load_bundle(self._path(version), self._robot).actor
        except PorlError as error:
            log.error("learner: going on from the base policy: %s", error)
            return self._base.actor

    def _is_there(self, trainer: Trainer, returns: dict[str, int]) -> bool:
        """Whether an earlier process has published this very policy."""
        if self._earlier is None:
            self._earlier = self._ours()
        now = trainer.env_steps, trainer.porl.critic_updates, _total(returns)
        bundle = self._load(self._earlier[now]) if now in self._earlier else None
        if not bundle or not _same(trainer.porl.acting, bundle.actor):
            return False
        found = bundle.manifest.version, bundle.path
        self.version, self.latest = max((self.version, self.latest), found)
        return True

    def _ours(self) -> dict[tuple[int, int, int], int]:
        """Versions that are there, by how much training and how many returns had led to them."""
        found = {}
        for version in self._versions():
            try:
                said = read_manifest(self._path(version))
            except PorlError:  # damaged, or not a bundle; its number is not used again
                continue
            if self._is_ours(said):
                found[said.env_steps, said.gradient_steps, _total(said.returns)] = version
        return found

    def _is_ours(self, manifest: Manifest) -> bool:
        return manifest.parent == self._base.manifest.weights_sha256

    def _load(self, version: int) -> PolicyBundle | None:
        try:
            return load_bundle(self._path(version), self._robot)
        except PorlError:
            return None

    def _path(self, version: int) -> Path:
        return self._folder / f"{version:06d}"

    def _versions(self) -> list[int]:
        names = [p.name for p in self._folder.glob("[0-9]*")] if self._folder.is_dir() else []
        return [int(name) for name in names if name.isdecimal()]


def _total(returns: dict[str, int]) -> int:
    """Only ever grows, and so tells the points of a run from each other."""
    return sum(returns.values())


def _same(ours: nn.Module, theirs: nn.Module) -> bool:
    ours, theirs = ours.state_dict(), theirs.state_dict()
    return ours.keys() == theirs.keys() and all(
        torch.equal(tensor.cpu(), theirs[name]) for name, tensor in ours.items()
    )
