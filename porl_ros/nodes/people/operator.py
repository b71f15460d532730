"""What an operator may say besides stop, as services that any tool can call.

Each answers in every state of the node's lifecycle with what it did, or why it did nothing; both
are logged.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from std_srvs.srv import Trigger

from porl_ros.errors import PorlError
from porl_ros.nodes.acting.control import Parts
from porl_ros.nodes.acting.interaction import Mark
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.policies.deploying import Deploying


class Answer(NamedTuple):
    """Whether it was done; what was done, or why not."""

    done: bool
    text: str


class Operator:
    """Lives as long as its node; executor's thread. `parts` and `deploying` are there while it is
    configured."""

    def __init__(self, node: PorlNode):
        self.parts: Parts | None = None
        self.deploying: Deploying | None = None
        self.active = False
        self._log = node.get_logger()
        verbs = {
            "mark_success": partial(self._mark, Mark.SUCCESS),
            "mark_failure": partial(self._mark, Mark.FAILURE),
            "end_episode": partial(self._mark, Mark.END),
            "reset_done": self._reset_done,
            "save": self._save,
            "back_to_base": self._back_to_base,
        }
        for name, verb in verbs.items():
            node.create_service(Trigger, name, partial(self._on_call, name, verb))
        for name, verb in (("deploy", Deploying.deploy), ("rollback", Deploying.roll_back)):
            node.create_service(Trigger, name, partial(self._on_long_call, name, verb))

    def _on_call(
        self, name: str, verb: Callable[[], Answer], _: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        response.success, response.message = self._unable(name) or verb()
        self._log.warning(f"operator, {name}: {response.message}")
        return response

    async def _on_long_call(
        self,
        name: str,
        verb: Callable[[Deploying], Awaitable[str]],
        _: Trigger.Request,
        response: Trigger.Response,
    ) -> Trigger.Response:
        """One whose answer has to wait for the disk, while control goes on."""
        answer = self._unable(name)
        if answer is None:
            try:
                answer = Answer(True, await verb(self.deploying))
            except PorlError as error:
                answer = Answer(False, str(error))
        response.success, response.message = answer
        self._log.warning(f"operator, {name}: {response.message}")
        return response

    def _unable(self, name: str) -> Answer | None:
        """Why the node can do nothing of the kind in its state."""
        if self.parts is None:
            return Answer(False, "nothing is loaded; configure and activate the node")
        if name != "save" and not self.active:
            return Answer(False, "the node is inactive; activate it")
        if name in ("reset_done", "end_episode") and self.parts.stop.pressed:
            return Answer(False, "stopped; call reset_stop first")
        return None

    def _mark(self, mark: Mark) -> Answer:
        if not self.parts.interaction.mark(mark):
            return Answer(False, "no episode runs; what has ended is recorded and stays so")
        how = "is cut short" if mark is Mark.END else f"is a {mark}"
        return Answer(True, f"episode {self.parts.interaction.episode} {how}")

    def _reset_done(self) -> Answer:
        return Answer(*self.parts.episodes.reset_done())

    def _save(self) -> Answer:
        writer = self.parts.writer
        if writer.fault:
            return Answer(False, f"not recording: {writer.fault}")
        writer.request_flush()
        return Answer(
            True, f"{writer.acknowledged} of {writer.rows} steps are on disk, the others follow"
        )

    def _back_to_base(self) -> Answer:
        no_regret = self.parts.episodes.no_regret
        version = no_regret and no_regret.back_to_base("the operator says so")
        if version is None:
            return Answer(False, f"the base acts already, version {self.parts.episodes.version}")
        return Answer(True, f"policy version {version} acts from the next step on")
