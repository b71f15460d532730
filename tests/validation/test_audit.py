"""The audit log: lines are only ever added, and what was changed shows."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from porl_ros.validation import audit


def test_lines_follow_one_another():
    for number in range(3):
        audit.append("promoted", version=number)
    lines = audit.read()
    assert [(line["event"], line["version"]) for line in lines] == [
        ("promoted", n) for n in (0, 1, 2)
    ]
    assert all(line["at"] and "@" in line["by"] for line in lines)


@pytest.mark.parametrize("number", [0, 1])
def test_a_line_that_was_changed_or_taken_out_is_named(number):
    for version in range(3):
        audit.append("promoted", version=version)
    path = audit.audit_path()
    lines = path.read_text().splitlines(keepends=True)
    changed = lines[number].replace('"promoted"', '"withdrawn"')
    for harmed in (changed, ""):
        path.write_text("".join([*lines[:number], harmed, *lines[number + 1 :]]))
        with pytest.raises(audit.AuditError, match=rf"line {number + (2 if harmed else 1)} or the"):
            audit.read()


def test_what_is_no_log_is_refused():
    path = audit.audit_path()
    path.parent.mkdir(parents=True)
    for content in ("[]\n", "not json\n", json.dumps({"event": "x"}) + "\n", "[" * 100_000):
        path.write_text(content)
        with pytest.raises(audit.AuditError, match="line 1 "):
            audit.read()


def test_several_may_write_at_once():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: audit.append("loaded", number=n), range(40)))
    assert sorted(line["number"] for line in audit.read()) == list(range(40))


def test_a_log_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PORL_AUDIT_LOG", str(tmp_path / "file" / "audit.jsonl"))
    with pytest.raises(audit.AuditError, match="cannot be written: .*PORL_AUDIT_LOG"):
        audit.append("loaded")
    with pytest.raises(audit.AuditError, match="cannot be read"):
        audit.read()
