"""`make bench`: what takes a minute. `python -m benchmarks NAME` runs one, `demo` the long one."""

import sys
from importlib import import_module

SHORT = ("lockstep",)
NAMES = (*SHORT, "demo")


def main() -> None:
    """Run the benchmarks named on the command line, or the short ones."""
    for name in sys.argv[1:] or SHORT:
        if name not in NAMES:
            raise SystemExit(f"no benchmark '{name}': choose from {', '.join(NAMES)}")
        import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
