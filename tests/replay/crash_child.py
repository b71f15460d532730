"""A robot that records at a steady rate until it is ended, and tells what was acknowledged.

    python crash_child.py STORE ROBOT SECONDS_PER_ROW FLUSH_INTERVAL SEGMENT_ROWS [ROWS]

A line for each row: how many were logged, how many of them are acknowledged, and the time [ns].
"""

import os
import sys
import time
from pathlib import Path

from replay_rows import SCHEMA, make_row

from porl_ros.replay import ReplayWriter


def main(
    store: str, robot: str, period: float, flush_interval: float, segment_rows: int, rows: int
):
    with ReplayWriter(Path(store), SCHEMA, robot, None, flush_interval, segment_rows) as writer:
        begun = time.monotonic()
        while writer.rows < rows:
            writer.log(**make_row(writer.rows))
            line = b"%d %d %d\n" % (writer.rows, writer.acknowledged, time.monotonic_ns())
            os.write(1, line)
            time.sleep(max(0.0, begun + writer.rows * period - time.monotonic()))


if __name__ == "__main__":
    store, robot, period, flush_interval, segment_rows, *rows = sys.argv[1:]
    limit = int(rows[0]) if rows else sys.maxsize
    main(store, robot, float(period), float(flush_interval), int(segment_rows), limit)
