"""A robot that records until it is killed, and tells its parent what was acknowledged."""

import os
import sys
import threading
from pathlib import Path

from replay_rows import SCHEMA, make_row

from porl_ros.replay import ReplayWriter

if __name__ == "__main__":
    pause = threading.Event()
    writer = ReplayWriter(Path(sys.argv[1]), SCHEMA, "arm", None, 0.01, 60)
    while True:
        writer.log(**make_row(writer.rows))
        os.write(1, b"%d\n" % writer.acknowledged)
        pause.wait(0.0005)
