"""Looking at folders of bundles, and keeping them small."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from porl_ros.errors import PorlError
from porl_ros.policy.bundle import MANIFEST, WEIGHTS, Manifest, load_bundle, read_manifest
from porl_ros.policy.files import remove_folder


class Shelved(NamedTuple):
    """A bundle, or what is left of one: `fault` says what is wrong with it."""

    path: Path
    manifest: Manifest | None
    fault: str
    size: int  # bytes

    @property
    def sound(self) -> bool:
        return not self.fault


def find_bundles(root: Path) -> list[Shelved]:
    """All bundles below a folder, or in it, by path; each is verified. Raises OSError."""
    found = []
    for folder, below, files in os.walk(root, onerror=_raise):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if MANIFEST in files or WEIGHTS in files:
            found.append(_look(Path(folder)))
    return sorted(found, key=lambda one: (one.path.parent, _number(one.path)))


def prunable(bundles: list[Shelved], keep: int, protected: Collection[int]) -> list[Shelved]:
    """Which versions of one folder may go: all but the `keep` newest, those that are `protected`,
    bases (which have no parent), and what is not sound: nobody knows what that is."""
    versions = [one for one in bundles if one.sound and one.manifest.parent]
    versions.sort(key=lambda one: one.manifest.version)
    return [one for one in versions[:-keep] if one.manifest.version not in protected]


def prune(bundles: list[Shelved]) -> None:
    """Remove bundles; nobody sees half of one. Raises OSError."""
    for one in bundles:
        remove_folder(one.path)


def _look(path: Path) -> Shelved:
    manifest, fault = None, ""
    try:
        manifest = read_manifest(path)
        load_bundle(path)
    except PorlError as error:
        fault = str(error)
    size = sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(path))
    return Shelved(path, manifest, fault, size)


def _number(path: Path) -> tuple[int, str]:
    return (int(path.name) if path.name.isdecimal() else -1, path.name)


def _raise(error: OSError) -> None:
    raise error
