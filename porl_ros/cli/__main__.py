"""`porl`, and `python -m porl_ros.cli`, which is the same."""

import os
import signal


def main() -> int:
    """Entry point; returns the exit code. While it imports, Ctrl-C ends it without a word."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from porl_ros.cli.main import main as porl

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return porl()


if __name__ == "__main__":
    raise SystemExit(main())
