"""A wrong robot config is refused with the key, the value and what would be right."""

import pytest
from robot_files import REMOVED, write_robot

from porl_ros.errors import ConfigError
from porl_ros.paths import resolve_robot_config
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.robot import SimulatedRobot

NAN, INF = float("nan"), float("inf")
ARM = ["shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint"]
ARM += ["wrist_1_joint", "wrist_2_joint", "wrist_3_joint"]
FIVE, OTHER = ARM[:5], [*ARM[:5], "wrist_9_joint"]
LIMITS = {"lower": 2.0, "upper": 1.0, "velocity": 1.0, "acceleration": None, "deviation": None}
GRIPPER = {"joint": "finger", "lower": 0.0, "upper": 0.8, "scale": 0.2}

TOPICS = {"source": "topic", "done": "done"}
JUDGE = {"source": "classifier", "path": "judge"}

# What is edited, to what, and the key, the value and the remedy that the message must hold.
WRONG = [
    ("reward", {"source": "judge"}, "reward", "'judge'", "'function', 'operator'"),
    ("reward", {"source": "topic"}, "reward.done", "not given", "is required"),
    ("reward", TOPICS | {"done": "no topic"}, "reward.done", "'no topic'", "should match"),
    ("reward", TOPICS | {"range": [1.0, 0.0]}, "reward", "1.0", "must be under 0.0"),
    ("reward", JUDGE | {"threshold": 1.0}, "reward.threshold", "1.0", "less than 1"),
    ("reward", JUDGE | {"consecutive": 0}, "reward.consecutive", "0", "greater than 0"),
    ("reset.then", "wait", "reset.then", "'wait'", "'simulation', 'operator' or 'begin'"),
    ("reset.speed", 1.5, "reset.speed", "1.5", "less than or equal to 1"),
    ("reset.patience", 0.0, "reset.patience", "0.0", "greater than 0"),
    ("reset.waypoints", [[0.0]], "reset.waypoints[0]", "has 1", "needs 6 positions"),
    ("reset.waypoints", [[1.0] * 6], "shoulder_pan_joint", "1.0", "move the waypoint inside"),
    ("controll_rate", 3.0, "controll_rate", "3.0", "did you mean 'control_rate'"),
    ("action.max_led", 0.1, "action.max_led", "0.1", "did you mean 'max_lead'"),
    ("safety.zzz", 0.1, "safety.zzz", "0.1", "remove it"),
    ("control_rate", REMOVED, "control_rate", "not given", "is required"),
    ("action.scale", REMOVED, "action.scale", "not given", "is required"),
    ("control_rate", 0, "control_rate", "0", "greater than 0"),
    ("control_rate", -1, "control_rate", "-1", "greater than 0"),
    ("control_rate", NAN, "control_rate", "nan", "finite number"),
    ("control_rate", INF, "control_rate", "inf", "finite number"),
    ("control_rate", "fast", "control_rate", "'fast'", "valid number"),
    ("kinematics.home.2", NAN, "kinematics.home[2]", "nan", "finite number"),
    ("episode.horizon", 0, "episode.horizon", "0", "greater than 0"),
    ("safety.joints.elbow_joint", LIMITS, "safety.joints.elbow_joint", "2.0", "be under upper"),
    ("safety.joints.elbow_joint.acceleration", REMOVED, "joint.acceleration", "not given", "is r"),
    ("safety.joints.elbow_joint.deviation", REMOVED, "joint.deviation", "not given", "is required"),
    ("safety.joints.elbow_joint.acceleration", 0.0, "joint.acceleration", "0.0", "greater than 0"),
    ("safety.joints.elbow_joint.jerk", -1.0, "elbow_joint.jerk", "-1.0", "greater than 0"),
    ("safety.workspace.lower", [0.9, 0, 0], "safety.workspace: x", "0.9", "must be under upper"),
    ("action.gripper", GRIPPER | {"lower": 1.0}, "action.gripper", "1.0", "must be under upper"),
    ("observation.sources.1.name", "arm", "names of sources", "arm", "rename or remove"),
    ("observation.sources.1.topic", "joint_states", "topics", "joint_states", "rename or remove"),
    ("observation.sources.1.name", "tool", "observation", "'tool'", "rename it"),
    ("observation.features.1.name", "to_socket", "names of features", "to_socket", "rename"),
    ("observation.features.0.elements", ["x", "x"], "features[0]", "x stands", "rename or remove"),
    ("observation.features.0.elements", [], "features[0].elements", "[]", "at least 1"),
    ("observation.features.0.scale", 0, "features[0]", "scale 0", "other than 0"),
    ("observation.features.0.change", True, "features[0]", "'minus'", "either"),
    ("kinematics.joints.1", "elbow_joint", "kinematics", "elbow_joint", "rename or remove"),
    ("observation.sources.0.joints.1", "elbow_joint", "sources[0]", "elbow_joint", "rename"),
    ("action.gripper", GRIPPER | {"joint": ARM[0]}, "action.gripper", ARM[0], "rename or remove"),
    ("kinematics.tool_site", "tip", "kinematics.tool_site", "'tip'", "it has attachment_site"),
    ("kinematics.home", [0.0, 0.0], "home", "has 2", "needs 6 values"),
    ("kinematics.model", "nopackage:a.xml", "model", "nopackage", "pip install nopackage"),
    ("kinematics.model", "nothing.xml", "model", "'nothing.xml'", "there is no file"),
    ("safety.joints.elbow_joint", REMOVED, "safety.joints", "'elbow_joint'", "add them"),
    ("safety.joints.knee", LIMITS | {"lower": 0.0}, "safety.joints.knee", "not a comm", "have sho"),
    ("observation.sources.0.joints", FIVE, "sources", "'wrist_3_joint'", "add it to the joints"),
    ("observation.features.0.signal", "tol.position", "features[0].signal", "'tol.", "have arm."),
    ("observation.features.0.minus", "hole.x", "features[0].minus", "'hole.x'", "have last_action"),
    ("observation.features.0.minus", "socket.orientation", "minus", "has 4", "3 are needed"),
    ("observation.features.0.elements", ["w"], "features[0].elements", "'w'", "not in x, y, z"),
    ("episode.success.tip", "peg.position", "episode.success.tip", "'peg.position'", "have last"),
    ("episode.success.target", "arm.position", "success.target", "has 6", "3 are needed"),
    ("episode.success.function", "insert", "episode.success", "'insert'", "'inserted', 'lifted'"),
    ("action.kind", "joint_torque", "action", "'joint_torque'", "'joint_position_delta'"),
    ("observation.sources.0.type", "Imu", "observation.sources[0]", "'Imu'", "JointState"),
    ("action.command.topic", "a b", "action.command.topic", "'a b'", "match pattern"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "named", "shown", "remedy"), WRONG)
def test_the_error_names_key_value_and_remedy(tmp_path, key, value, named, shown, remedy):
    path = write_robot(tmp_path / "robot.yaml", key, value)
    with pytest.raises(ConfigError) as caught:
        load_robot(path)
    message = str(caught.value)
    assert all(part in message for part in (str(path), named, shown, remedy)), message


UNFIT = [
    ("simulation.scene", "moon.yaml", "simulation.scene", "'moon.yaml'", "ur5e_insert.yaml"),
    ("simulation.variant", "shift", "simulation.variant", "'shift'", "have calibrated, shifted"),
    ("control_rate", 33.0, "control_rate", "33.0", "whole number of physics steps"),
    ("observation.sources.0.joints", [*ARM, "knee"], "'arm'", "'knee'", "has elbow_joint"),
]


@pytest.mark.parametrize(("key", "value", "named", "shown", "remedy"), UNFIT)
def test_a_scene_that_does_not_fit_is_refused(tmp_path, key, value, named, shown, remedy):
    robot = load_robot(write_robot(tmp_path / "robot.yaml", key, value))
    with pytest.raises(ConfigError) as caught:
        SimulatedRobot(robot)
    message = str(caught.value)
    assert all(part in message for part in (named, shown, remedy)), message


@pytest.mark.parametrize("limit", ["acceleration", "deviation"])
def test_a_physical_robot_without_a_limit_is_refused(tmp_path, limit):
    path = write_robot(tmp_path / "robot.yaml", f"safety.joints.elbow_joint.{limit}", None)
    assert not load_robot(path).physical  # a simulation may be without
    path.write_text(path.read_text().replace("physical: false", "physical: true"))
    named = rf"safety\.joints\.elbow_joint\.{limit} = null: a physical robot must have .*set it"
    with pytest.raises(ConfigError, match=named):
        load_robot(path)


@pytest.mark.parametrize("name", ["ur5e_insert", "ur5e_lift"])
def test_the_shipped_robots_have_every_limit_that_a_physical_one_needs(tmp_path, name):
    shipped = resolve_robot_config(name).read_text()
    path = tmp_path / "robot.yaml"
    path.write_text(
        shipped.replace("physical: false", "").replace("\nname:", "\nphysical: true\nname:")
    )
    physical = load_robot(path)
    assert physical.physical
    assert (
        physical.contract_hash == load_robot(name).contract_hash
    )  # policies go from one to the other


def test_joints_must_be_in_the_arm_model(tmp_path):
    path = write_robot(tmp_path / "robot.yaml", "kinematics.joints", OTHER)
    text = path.read_text().replace("wrist_3_joint", "wrist_9_joint")
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"kinematics.joints = 'wrist_9_joint'.*it has shoulder"):
        load_robot(path)


FILES = [
    ("- a\n- b\n", "must be a mapping of keys to values, is list"),
    ("", "must be a mapping of keys to values, is NoneType"),
    ("name: [1, 2\n", "cannot be read as YAML"),
    ("name: a\nname: b\n", "line 2: key 'name' stands twice (first on line 1); remove one"),
    ("name: !!python/object:os.system {}\n", "cannot be read as YAML"),
]


@pytest.mark.parametrize(("text", "message"), FILES)
def test_files_that_are_no_config(tmp_path, text, message):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_robot(path)
    assert message in str(caught.value)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_robot(path)


def test_all_mistakes_are_reported_at_once(tmp_path):
    path = write_robot(tmp_path / "robot.yaml", "control_rate", -1)
    path.write_text(path.read_text() + "speed: 3\n")
    with pytest.raises(ConfigError, match=r"(?s)control_rate = -1.*speed = 3"):
        load_robot(path)


def test_a_missing_file_lists_the_shipped_ones(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"no robot config 'ur6e'.*one of: franka_insert, so101_insert, ur5e_insert",
    ):
        load_robot("ur6e")
    with pytest.raises(ConfigError, match="give a path to a YAML file"):
        load_robot(tmp_path / "gone.yaml")
