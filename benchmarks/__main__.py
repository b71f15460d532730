"""`make bench`: what takes a few minutes. `python -m benchmarks NAME [options]` runs one.

demo, finetuning, gate_worth and replay are the long ones; the last three have options, see --help.
"""

import sys
from importlib import import_module

MODULES = {
    "lockstep": "benchmarks.lockstep",
    "demo": "benchmarks.demo",
    "finetuning": "benchmarks.finetuning.command",
    "replay": "benchmarks.replay.command",
    "learner_speed": "benchmarks.learner_speed.command",
    "control_path": "benchmarks.control_path.command",
    "safety_filter": "benchmarks.safety_filter",
    "gate_worth": "benchmarks.gate_worth.command",
}
SHORT = (
    ["lockstep"], ["finetuning", "--slice"], ["replay", "--slice"], ["learner_speed", "--slice"],
    ["control_path", "--slice"], ["gate_worth", "--slice"],
)  # fmt: skip


def main() -> None:
    """Run the benchmark named on the command line, with its options, or the short ones."""
    program = sys.argv[0]
    for name, *options in [sys.argv[1:]] if sys.argv[1:] else SHORT:
        if name not in MODULES:
            raise SystemExit(f"no benchmark '{name}': choose from {', '.join(MODULES)}")
        sys.argv = [f"{program} {name}", *options]
        try:
            import_module(MODULES[name]).main()
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    main()
