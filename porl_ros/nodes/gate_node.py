"""Judges what a learner offers, in MuJoCo beside the robot, and announces what is admitted.

Takes the newest bundle that `learner/bundle` names, writes its record and report beside it, and
says `gate/admitted` when it passed. It stands back behind everything else on the machine.
"""

import json
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from std_msgs.msg import String

from porl_ros.errors import PorlError
from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.entry import run
from porl_ros.nodes.scheduling import stand_back
from porl_ros.nodes.settings import GateSettings
from porl_ros.nodes.watching.health import Level, Status
from porl_ros.robot.loading import load_robot
from porl_ros.validation.admission import NotAdmitted, verify
from porl_ros.validation.evaluation import Evaluator
from porl_ros.validation.gate import Progress, Validation
from porl_ros.validation.record import Record, report_path
from porl_ros.validation.report.validation_page import write_report


class Interrupted(Exception):
    """The node is being stopped."""


class GateNode(PorlNode):
    """See the module. Judging is a thread's work; the executor's publishes what came of it."""

    def __init__(self):
        super().__init__("gate")
        self._thread: Thread | None = None
        self._verdicts = {"admitted": 0, "refused": 0, "not judged": 0}
        self._last = ""

    def defaults(self) -> GateSettings:
        return GateSettings()

    def setup(self) -> None:
        self._config = load_robot(self.settings.robot_config)
        self._reference = Path(self.settings.reference) if self.settings.reference else None
        if self._reference:
            verify(self._reference, self._config)  # rather now than with the first candidate
        self._offered: SimpleQueue[Path | None] = SimpleQueue()
        self._stopping = Event()
        self._admitted = self.create_publisher(String, "gate/admitted", messages.LATCHED_EVENTS)
        self._status = self.create_publisher(String, "gate/status", messages.LATCHED)
        self.create_subscription(String, "learner/bundle", self._on_bundle, messages.LATCHED_EVENTS)

    def start(self) -> None:
        self._stopping.clear()
        self._thread = Thread(target=self._judge_all, name="gate", daemon=True)
        self._thread.start()
        self.get_logger().info(f"judging what is offered for {self._config.name}")

    def stop(self) -> None:
        if self._thread:
            self._stopping.set()
            self._offered.put(None)
            self._thread.join(30.0)
            self._thread = None

    def _on_bundle(self, message: String) -> None:
        try:
            self._offered.put(Path(str(json.loads(message.data)["path"])))
        except (ValueError, KeyError, TypeError, RecursionError):
            self.get_logger().error("learner/bundle: is not JSON with a path; ignored")

    def diagnose(self) -> list[Status]:
        verdicts = dict(self._verdicts)
        text = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        level = Level.WARN if self._last == "not judged" else Level.OK
        hint = "; the last could not be judged: the log says why" if level else ""
        values = verdicts | {"waiting": self._offered.qsize() if self._thread else 0}
        return [Status("verdicts", level, f"{text}{hint}", values)]

    # The gate's thread

    def _judge_all(self) -> None:
        try:
            stand_back(self.settings.niceness)  # and the workers
            robot, workers = self.settings.robot_config, self.settings.workers
            with Evaluator(robot, workers=workers) as evaluator:
                while not self._stopping.is_set():
                    if path := self._newest():
                        self._judge(path, evaluator)
        except Interrupted:
            pass
        except Exception as error:  # nothing new is admitted any more, which must be seen
            failure = PorlError(f"the gate has stopped: {type(error).__name__}: {error}")
            self.call_soon(lambda: self.fail(failure))

    def _newest(self) -> Path | None:
        """What was offered last; what came before it is passed over."""
        path = self._offered.get()
        try:
            while True:
                path = self._offered.get_nowait()
        except Empty:
            return path

    def _judge(self, path: Path, evaluator: Evaluator) -> None:
        """One bundle; whatever is wrong with it is said, and the next one is waited for."""
        try:
            record = self._known(path) or self._run(path, evaluator)
        except (PorlError, OSError, ValueError) as error:
            self.get_logger().error(f"not judged: {error}")
            self._count("not judged")
            self._tell({"path": str(path), "decision": None, "why": str(error)})
            return
        self._count("admitted" if record.admitted else "refused")
        if record.admitted:
            self.get_logger().info(f"{path}: admitted: {record.why}")
            announcement = String(data=json.dumps({"path": str(path)}))
            self.call_soon(lambda: self._admitted.publish(announcement))
        else:
            self.get_logger().warning(f"{path}: refused: {record.why}")
        self._tell({
            "path": str(path), "decision": record.decision, "why": record.why,
            "success": record.success, "episodes": len(record.episodes),
        })  # fmt: skip

    def _count(self, verdict: str) -> None:
        self._verdicts[verdict] += 1
        self._last = verdict

    def _known(self, path: Path) -> Record | None:
        """It may have been admitted before this node was started."""
        try:
            return verify(path, self._config, candidate=True).record
        except NotAdmitted:
            return None

    def _run(self, path: Path, evaluator: Evaluator) -> Record:
        validation = Validation(self.settings.robot_config, path, reference=self._reference)
        record = validation.run(evaluator, self._on_progress)
        write_report(report_path(path), record, validation.reference)
        return record

    def _on_progress(self, progress: Progress) -> None:
        if self._stopping.is_set():
            raise Interrupted

    def _tell(self, status: dict) -> None:
        message = String(data=json.dumps(status))
        self.call_soon(lambda: self._status.publish(message))


def main(args: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(GateNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
