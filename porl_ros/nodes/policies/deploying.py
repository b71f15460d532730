"""The services `deploy` and `rollback`: another policy for a robot that runs, and the way back.

Reading, verifying and moving the place are done by a thread; the answer is given when that is.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rclpy.task import Future

from porl_ros.errors import PorlError
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.policies.admission import GatedRuntime
from porl_ros.nodes.policies.succession import Succession
from porl_ros.policy.canary import Ended, Verdict
from porl_ros.policy.runtime import Loaded
from porl_ros.policy.swapping import in_thread
from porl_ros.robot.config import RobotConfig
from porl_ros.validation import deployment


class Deploying:
    """While a policy node is configured. Executor's thread, but for what `thread` does."""

    def __init__(
        self,
        node: PorlNode,
        config: RobotConfig,
        runtime: GatedRuntime,
        succession: Succession,
        thread: ThreadPoolExecutor,
    ):
        self._node, self._config, self._runtime = node, config, runtime
        self._succession, self._thread = succession, thread
        succession.on_ended = self._on_ended

    async def deploy(self) -> str:
        """Take what the parameter `bundle` leads to; what comes of it. PorlError: why not."""
        self._require_free("its candidates come through the gate")
        if bundle := self._succession.on_trial:
            raise PorlError(
                f"policy version {bundle.manifest.version} is on trial; wait until it is promoted "
                "or withdrawn, or call rollback"
            )
        loaded = await self._in_thread(self._read)
        tried = self._succession.deploy(loaded)
        how = "is on trial" if tried else "acts"
        return f"{_name(loaded)} {how} from the next episode on"

    async def roll_back(self) -> str:
        """Let the place lead to what was deployed before, and let that act; as `deploy`."""
        self._require_free("call back_to_base")
        loaded = await self._in_thread(self._roll_back)
        self._succession.act_now(loaded, "the operator called rollback")
        return f"{_name(loaded)} acts from the next step on"

    def _require_free(self, remedy: str) -> None:
        if self._node.settings.learner:
            raise PorlError(f"a learner is linked (learner:=true): {remedy}")

    # The thread's

    def _read(self) -> Loaded:
        path = self._place.resolve()
        loaded = self._runtime.load(path, by_operator=True)
        if loaded[0].manifest == self._runtime.bundle.manifest:
            raise PorlError(
                f"{_name(loaded)} acts already; let {self._place} lead to another with "
                "`porl deploy`"
            )
        return loaded

    def _roll_back(self) -> Loaded:
        if not self._place.is_symlink():
            raise PorlError(
                f"{self._place}: is no place that leads to a bundle; make one with `porl deploy`, "
                "and configure the node with bundle:=PLACE"
            )
        loaded = self._runtime.load(deployment.before(self._place), by_operator=True)
        deployment.rollback(self._place, self._config)
        return loaded

    @property
    def _place(self) -> Path:
        return Path(self._node.settings.bundle)

    async def _in_thread(self, job: Callable[[], Loaded]) -> Loaded:
        future = Future(executor=self._node.executor)
        in_thread(self._thread, self._do, job, future)
        result = await future
        if isinstance(result, Exception):
            raise result
        return result

    def _do(self, job: Callable[[], Loaded], future: Future) -> None:
        try:
            result = job()
        except (PorlError, OSError) as error:
            result = error if isinstance(error, PorlError) else PorlError(str(error))
        self._node.call_soon(partial(future.set_result, result))

    def _on_ended(self, ended: Ended) -> None:
        """The place leads to what acts: what is not promoted is rolled back."""
        if ended.verdict is not Verdict.PROMOTED and not self._node.settings.learner:
            in_thread(self._thread, self._leave, ended.candidate[0].path)

    def _leave(self, bundle: Path) -> None:
        try:
            if self._place.is_symlink() and self._place.resolve() == bundle:
                deployment.rollback(self._place, self._config)
        except (PorlError, OSError) as error:
            self._node.get_logger().error(f"{self._place} still leads to {bundle}: {error}")


def _name(loaded: Loaded) -> str:
    return f"policy version {loaded[0].manifest.version} ({loaded[0].path})"
