"""Where the package's data files are, in a source tree and when installed."""

import sys
from importlib.util import find_spec
from pathlib import Path

from porl_ros.errors import ConfigError, PorlError


def share_dir() -> Path:
    """The folder that holds `launch/`, `robot_configs/` and `sim/`.

    A source tree comes first (development, `pip install -e .`), then the share folder of the
    prefix the package was installed to (colcon, `pip install .`).
    """
    here = Path(__file__).resolve().parent
    source_tree = here.parent
    installed = [parent / "share" / "porl_ros" for parent in here.parents]
    for folder in [source_tree, *installed, Path(sys.prefix) / "share" / "porl_ros"]:
        if (folder / "robot_configs").is_dir() and (folder / "sim").is_dir():
            return folder
    raise ConfigError(f"the data files of porl_ros (robot_configs, sim) are not beside {here}")


def resolve_robot_config(name: str | Path) -> Path:
    """A path as given, or the name of one of the shipped configurations (`ur5e_insert`)."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = share_dir() / "robot_configs" / f"{path.stem}.yaml"
    if path.parent == Path(".") and shipped.is_file():
        return shipped
    names = ", ".join(sorted(p.stem for p in shipped.parent.glob("*.yaml")))
    raise ConfigError(f"no robot config '{name}': give a path to a YAML file, or one of: {names}")


def resolve_model(reference: str) -> Path:
    """A MJCF file: `package:path/inside/it.xml`, or a path relative to the `sim` folder.

    The package is located without importing it: model packages can be slow to import.
    """
    package, separator, inner = reference.partition(":")
    if not separator:
        path = share_dir() / "sim" / reference
    else:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                f"model '{reference}': the Python package '{package}' is not installed "
                f"(pip install {package})"
            )
        path = Path(next(iter(spec.submodule_search_locations))) / inner
    if not path.is_file():
        raise ConfigError(f"model '{reference}': there is no file {path}")
    return path


def require_empty_or_missing(path: Path, what: str) -> None:
    """PorlError when `path` has content already: nothing is overwritten."""
    if path.exists() and any(path.iterdir()):
        raise PorlError(
            f"{path}: there is a {what} already and nothing is overwritten; name another folder"
        )
