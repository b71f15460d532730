"""Drops one segment after the other until it is killed."""

import sys
from pathlib import Path

from porl_ros.replay import Retention
from porl_ros.replay.disk.layout import RunFolder
from porl_ros.replay.disk.retention import Pruner, drop_segment

if __name__ == "__main__":
    store = Path(sys.argv[1])
    plan = Pruner(store, "arm", Retention(max_bytes=1)).plan()
    for segment in plan:
        print(segment.first_row, flush=True)
        drop_segment(RunFolder(store, "arm", "one"), segment)
