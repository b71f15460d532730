"""`make bench`: every benchmark in its short form. `python -m benchmarks NAME` runs one."""

import sys
from importlib import import_module

NAMES = ("lockstep",)


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    for name in sys.argv[1:] or NAMES:
        if name not in NAMES:
            raise SystemExit(f"no benchmark '{name}': choose from {', '.join(NAMES)}")
        import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
