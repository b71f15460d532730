"""Who has the processor first: control before all others, so that nothing else delays a command,
and training and judging behind them."""

import contextlib
import os
from pathlib import Path

from porl_ros.errors import PorlError

REMEDY = (
    "allow it (a line `USER - rtprio 98` in /etc/security/limits.d, then log in again), or set it "
    "to 0"
)


class NoRealtime(PorlError):
    """This user may not run before others."""


def come_first(priority: int) -> None:
    """Have the threads that this process has run before all normal ones (SCHED_FIFO); 1 to 99,
    higher comes first. What they start is normal. NoRealtime when it is not permitted.

    All of them, not only the one that controls: it waits for the interpreter's lock, and who holds
    that must not be kept from the processor by others.
    """
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    try:
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # has ended meanwhile
                os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))
    except PermissionError:
        raise NoRealtime(
            f"realtime_priority = {priority}: is not permitted to this user, so that whatever else "
            f"runs here can delay commands: {REMEDY}"
        ) from None


def stand_back(niceness: int) -> None:
    """Let whoever else wants the processor have it before this thread, and what it starts later;
    0 to 19."""
    if niceness > os.getpriority(os.PRIO_PROCESS, 0):  # to go back takes a privilege
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
