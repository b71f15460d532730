"""What `porl top` draws, and what it says when nobody is there; live in tests/nodes."""

from io import StringIO

from graphs import own_graph
from rich.console import Console

from porl_ros.cli.top import screen


def node(silent: bool = False, **statuses) -> dict:
    found = {
        name: {"level": level, "text": text, "values": values}
        for name, (level, text, values) in statuses.items()
    }
    return {"silent": silent, "statuses": found}


def drawn(nodes: dict, events: list | None = None) -> str:
    out = StringIO()
    Console(file=out, width=80).print(screen({"nodes": nodes, "events": events or []}))
    return out.getvalue()


def test_each_robot_has_a_column_and_what_is_wrong_a_line():
    learning = {"stage": "online", "updates_per_second": 87.9}
    shown = drawn(
        {
            "finetune": node(learning=("OK", "online", learning)),
            "arm1/policy": node(
                control=("OK", "", {"state": "acting", "control_rate": 9.96}),
                policy=("OK", "", {"success_rate": 0.85, "version": 12.0}),
                stop=("ERROR", "stopped: [x]; call the service reset_stop", {}),
            ),
            "arm2/policy": node(silent=True, control=("OK", "", {"control_rate": None})),
        },
        [{"at": "10:00:00", "node": "arm1/policy", "level": "WARN", "text": "late [tick]"}],
    )
    lines = {line.split("│")[1].strip(): line for line in shown.splitlines() if line[:1] == "│"}
    assert "/arm1" in shown
    assert "acting" in lines["state"]
    assert "10.0" in lines["steps a second"]
    assert "85%" in lines["success, recent"]
    assert "12" in lines["policy version"]
    assert "online" in lines["stage"]
    assert "ERROR" in shown
    assert "stopped: [x]; call the service reset_stop" in shown
    assert "SILENT" in shown
    assert "late [tick]" in shown


def test_nobody_is_there(porl):
    with own_graph():
        said = porl.fails("top", "--once", "--patience", "0.5")
    assert "no node of porl_ros is heard here within 0.5 s" in said
