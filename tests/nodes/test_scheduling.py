"""Running before everything else on the machine, where that is permitted; saying so where not."""

import os
import subprocess
import sys

import pytest

from porl_ros.nodes.scheduling import NoRealtime, come_first

NOBODY = 65534
THREADS = """
import os, subprocess, sys, threading
from porl_ros.nodes.scheduling import come_first
there = threading.Event()
waiting = threading.Thread(target=there.wait)
waiting.start()
come_first(7)
of = lambda thread: os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK
print(of(0) == of(waiting.native_id) == os.SCHED_FIFO, os.sched_getparam(0).sched_priority)
child = "import os; print(os.sched_getscheduler(0) == os.SCHED_OTHER)"
subprocess.run([sys.executable, "-c", child], check=True)
there.set()
"""


def permitted() -> bool:
    """Whether this user may; found out in a process of its own."""
    trial = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", trial], stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(not permitted(), reason="this user may not run before others")
def test_all_threads_come_first_and_what_they_start_does_not():
    done = subprocess.run([sys.executable, "-u", "-c", THREADS], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "7", "True"], done.stderr


def test_who_may_not_is_told_what_would_help():
    pid = os.fork()
    if pid == 0:  # where nothing else runs, as nobody
        told = 1
        try:
            if os.getuid() == 0:
                os.setuid(NOBODY)
            come_first(40)
        except NoRealtime as error:
            told = 0 if "realtime_priority = 40" in str(error) and "rtprio" in str(error) else 2
        finally:
            os._exit(told)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
