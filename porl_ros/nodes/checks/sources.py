"""What a sensor's topic really carries, against what the robot config says of it."""

import time
from collections.abc import Callable, Iterator

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible

from porl_ros.nodes import messages
from porl_ros.robot.config import RobotConfig, Source
from porl_ros.robot.messages import nanoseconds
from porl_ros.simulation.checking import Finding

MAX_LISTED = 3


class SourceCheck:
    """Listens to one source. The executor's thread only."""

    def __init__(
        self,
        node: Node,
        config: RobotConfig,
        source: Source,
        lockstep: bool,
        now: Callable[[], int],
    ):
        """`now`: ROS time in ns, by the clock that the robot's nodes go by."""
        self._node, self._config, self._source, self._now = node, config, source, now
        self.topic = node.resolve_topic_name(source.topic)
        self._quality = messages.sensor_qos(lockstep)
        self._stamps: list[int] = []
        self._ages: list[float] = []  # s
        self._arrivals: list[float] = []  # s
        self._wrong = ""
        self._last = None
        kind = messages.MESSAGES[source.type]
        node.create_subscription(kind, source.topic, self._on_message, self._quality)

    @property
    def heard(self) -> int:
        """Messages so far."""
        return len(self._arrivals)

    @property
    def published(self) -> bool:
        """Whether anybody does."""
        return self._node.count_publishers(self.topic) > 0

    def forget(self) -> None:
        """Begin again: what came while others were still being found says little of a rate."""
        self._stamps, self._ages, self._arrivals = [], [], []

    def _on_message(self, message) -> None:
        self._arrivals.append(time.monotonic())
        self._stamps.append(nanoseconds(message.header.stamp))
        self._ages.append((self._now() - self._stamps[-1]) / 1e9)
        try:
            self._last = messages.to_sample(self._source, message)
        except messages.MessageError as error:
            self._wrong = str(error)

    def findings(self) -> Iterator[Finding]:
        """What was found; at least one."""
        found = list(self._of_publishers())
        if not any(finding.level == "error" for finding in found):
            found += self._of_messages()
        yield from found or [Finding("ok", self.topic, self._rate_text())]

    def _of_publishers(self) -> Iterator[Finding]:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            yield self._missing()
            return
        kinds = sorted({info.topic_type for info in publishers})
        if self._source.type not in kinds:
            yield Finding(
                "error", self.topic,
                f"carries {', '.join(kinds)}, the config says {self._source.type}",
                "name the topic that carries it in observation.sources, or convert it",
            )  # fmt: skip
            return
        for info in publishers:
            fit, why = qos_check_compatible(info.qos_profile, self._quality)
            if fit == QoSCompatibility.ERROR:
                yield Finding(
                    "error", self.topic, f"'{info.node_name}' offers what does not reach us: {why}",
                    "let it publish reliably and volatile (lock-step), or use mode paced",
                )  # fmt: skip
        if len(publishers) > 1:
            names = ", ".join(sorted(info.node_name for info in publishers))
            yield Finding(
                "warning", self.topic, f"has {len(publishers)} publishers: {names}",
                "stop all but one: their samples would come in turn",
            )  # fmt: skip

    def _missing(self) -> Finding:
        alike = [
            topic
            for topic, kinds in self._node.get_topic_names_and_types()
            if self._source.type in kinds and topic != self.topic
            and self._node.count_publishers(topic)
        ]  # fmt: skip
        remedy = "start the driver that publishes it"
        if alike:
            remedy = (
                f"this type comes on {', '.join(alike[:MAX_LISTED])}: remap it, name it in "
                "observation.sources, or give --namespace"
            )
        return Finding("error", self.topic, "nobody publishes it", remedy)

    def _of_messages(self) -> Iterator[Finding]:
        if not self._arrivals:
            yield Finding(
                "error", self.topic, "has a publisher and says nothing",
                "look at the driver's log: is it configured and active?",
            )  # fmt: skip
            return
        if self._wrong:
            yield Finding(
                "error", self.topic, self._wrong.removeprefix(f"{self._source.topic}: "),
                "use the driver's names in the robot config, or fix the driver",
            )  # fmt: skip
            return
        yield from self._of_stamps()
        yield from self._of_rate()
        if hasattr(self._source, "joints"):
            yield from self._of_positions()

    def _of_stamps(self) -> Iterator[Finding]:
        limit, age = self._source.max_age, float(np.median(self._ages))
        steps = np.diff(self._stamps)
        if not any(self._stamps):
            text, remedy = "its stamps are 0", "let the driver fill header.stamp"
        elif len(steps) and not steps.any():
            text, remedy = "its stamp stands still", "let the driver stamp when it measures"
        elif (steps < 0).any():
            text, remedy = (
                "its stamps jump back",
                "is there a second publisher, or a clock that is set?",
            )
        elif age > limit:
            text = f"is stamped {age:.3f} s ago when it comes; max_age is {limit:g} s"
            remedy = self._clock_remedy(age)
        elif age < -limit:
            text, remedy = f"is stamped {-age:.3f} s in the future", self._clock_remedy(age)
        else:
            return
        yield Finding("error", self.topic, text, remedy)

    @staticmethod
    def _clock_remedy(age: float) -> str:
        if abs(age) > 1e6:
            return "one of the two uses simulated time and the other does not: see use_sim_time"
        return "set the computers' clocks by NTP or PTP; if it really takes so long, raise max_age"

    def _of_rate(self) -> Iterator[Finding]:
        gaps = np.diff(self._stamps) / 1e9
        gaps = gaps[gaps > 0]
        if not len(gaps):
            return
        gap, limit, period = (
            float(np.median(gaps)),
            self._source.max_age,
            self._config.period_ns / 1e9,
        )
        if gap > limit:
            yield Finding(
                "error", self.topic,
                f"comes every {gap:.3f} s; max_age is {limit:g} s: the robot would be held",
                "let it come faster, or raise max_age",
            )  # fmt: skip
        elif gap > 1.1 * period:
            yield Finding(
                "warning", self.topic, f"comes at {1 / gap:.1f} Hz, control at "
                f"{self._config.control_rate:g}: steps would see the same sample again",
                "let it come faster, or lower control_rate",
            )  # fmt: skip

    def _of_positions(self) -> Iterator[Finding]:
        for joint, position in zip(self._source.joints, self._last.values["position"], strict=True):
            limit = self._config.safety.joints.get(joint)
            if limit and not limit.lower <= position <= limit.upper:
                yield Finding(
                    "error", f"{self.topic}, {joint}",
                    f"is at {position:.3f}, outside its limits {limit.lower:g} to {limit.upper:g}",
                    "move the robot inside; is the unit rad, and the name that of this joint?",
                )  # fmt: skip

    def _rate_text(self) -> str:
        gaps = np.diff(self._stamps) / 1e9
        rate = f"{1 / np.median(gaps):.1f} Hz, " if len(gaps) else ""
        return f"{rate}{1e3 * np.median(self._ages):.0f} ms old when it comes"
