"""Rooms import only earlier rooms, and only the nodes know ROS."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import porl_ros

PACKAGE = Path(porl_ros.__file__).parent
ORDER = [
    "robot",
    "policy",
    "replay",
    "learning",
    "simulation",
    "validation",
    "nodes",
    "cli",
]
TOP_LEVEL = {"errors", "paths", "configfile", "sequential"}
STRANGERS = {("policy", "replay"), ("replay", "policy")}
WITHOUT_ROS = ORDER[: ORDER.index("nodes")]
SOURCES = sorted(PACKAGE.rglob("*.py"))
ROS = {"rclpy", "rosidl_runtime_py", "ament_index_python"}


def imported(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which room is meant"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room_of(path: Path) -> str:
    """Room of a file, or the name of a module that stands above the rooms."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def allowed(room: str) -> set[str]:
    """What a room may import of the package."""
    earlier = set(ORDER[: ORDER.index(room) + 1]) if room in ORDER else set()
    return TOP_LEVEL | {other for other in earlier if (room, other) not in STRANGERS}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_room_imports_only_earlier_rooms(path):
    room = room_of(path)
    assert room in {*ORDER, *TOP_LEVEL, "__init__"}, f"{room} is no room; see the architecture"
    inside = {name.split(".")[1] for name in imported(path) if name.startswith("porl_ros.")}
    assert inside <= allowed(room) | {"__version__"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_nodes_know_ros(path):
    packages = {name.split(".")[0] for name in imported(path)}
    ros = {name for name in packages if name in ROS or name.endswith(("_msgs", "_srvs"))}
    assert not ros or room_of(path) == "nodes", f"imports {', '.join(sorted(ros))}"


PROGRAM = """
import importlib, pkgutil, sys

class NoRos:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ros} or name.split(".")[0].endswith(("_msgs", "_srvs")):
            raise ModuleNotFoundError(f"{{name}} is blocked by the test")

sys.meta_path.insert(0, NoRos())
for room in {rooms}:
    package = importlib.import_module(f"porl_ros.{{room}}")
    for module in pkgutil.walk_packages(package.__path__, f"porl_ros.{{room}}."):
        importlib.import_module(module.name)
        if not module.ispkg:
            print(module.name)
assert "rclpy" not in sys.modules
"""


def test_everything_but_nodes_works_without_ros():
    rooms = [room for room in WITHOUT_ROS if (PACKAGE / room).is_dir()]
    assert set(rooms) >= set(WITHOUT_ROS[:5])
    program = PROGRAM.format(ros=ROS, rooms=rooms)
    child = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert child.returncode == 0, child.stderr
    modules = {name_of(path) for path in SOURCES if room_of(path) in rooms}
    found = {
        line.removeprefix("porl_ros.").replace(".", "/") + ".py" for line in child.stdout.split()
    }
    assert found == {name for name in modules if not name.endswith("__init__.py")}


def test_a_simulation_starts_without_torch():
    """More than a second, and 200 MB, on machines that only simulate or drive a robot."""
    program = "import sys, porl_ros.nodes.simulation_node; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
