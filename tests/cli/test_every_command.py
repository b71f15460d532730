"""Every command of `porl`, walked from the app: it explains itself, tells what is wrong with its
input, and the tests that it works, and ends by Ctrl-C, are there. One without an entry fails."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from test_ctrl_c import INTERRUPTED

from porl_ros.cli.commands import commands
from porl_ros.cli.main import app

TESTS = Path(__file__).parents[1]
PORL = dict(commands(typer.main.get_command(app), "porl"))


class Proof(NamedTuple):
    """`works`: the test that shows it. `wrong`: input that is refused with `code`, and what is said
    of it: the field, the value, the remedy. `interrupted`: the test of Ctrl-C, where it is another
    than test_ctrl_c.py; "" for what takes a moment only."""

    works: str
    wrong: str
    said: tuple[str, ...]
    code: int = 1
    interrupted: str = ""


NO_ROBOT = ("no robot config 'ur55'", "give a path to a YAML file, or one of")
NO_BUNDLE = ("nowhere: there is no policy bundle here", "`porl policy ls` finds")
NO_STORE = ("there is no replay store at nowhere", "`porl replay ls` finds")
NO_FOLDER = ("nowhere: there is no such folder", "name one that holds")

TESTED = {
    "demo": Proof(
        "cli/test_demo.py::test_a_demo_leaves_everything_that_it_promises",
        "--robot ur55", NO_ROBOT,
        interrupted="cli/test_demo.py::"
        "test_ctrl_c_while_it_learns_leaves_a_readable_run_and_no_process",
    ),
    "demos": Proof(
        "cli/test_base_policy.py::test_demonstrations_are_recorded_cloned_and_evaluated",
        "--store s --variant moon",
        ("simulation.variant = 'moon'", "have calibrated", "or give the path"),
    ),
    "bc": Proof(
        "cli/test_base_policy.py::test_demonstrations_are_recorded_cloned_and_evaluated",
        "--demos nowhere --output b", NO_STORE,
    ),
    "evaluate": Proof(
        "cli/test_base_policy.py::test_demonstrations_are_recorded_cloned_and_evaluated",
        "nowhere", NO_BUNDLE,
    ),
    "calibrate": Proof(
        "cli/test_calibrate.py::test_a_cell_comes_out_with_what_is_known_of_it",
        "nowhere --output cell.yaml", NO_STORE,
    ),
    "check": Proof(
        "cli/test_check.py::test_nothing_is_wrong_with_what_is_shipped", "ur55 --no-live", NO_ROBOT
    ),
    "validate": Proof(
        "cli/test_validate.py::test_what_was_admitted_is_found_so_and_shown", "nowhere", NO_BUNDLE,
        interrupted="cli/test_validate.py::test_an_interrupted_validation_leaves_no_record",
    ),
    "report": Proof(
        "cli/test_report.py::test_a_validation_is_reported_once_more", "nowhere",
        ("nowhere: has no run.json", "name the folder that was given as `output`"),
        interrupted="cli/test_report.py::test_whoever_does_not_wait_for_the_films_gets_it_without",
    ),
    "rollout": Proof(
        "nodes/test_in_the_loop.py::test_a_good_policy_passes_through_all_nodes",
        "nowhere", NO_BUNDLE,
    ),
    "deploy": Proof(
        "cli/test_deploy.py::test_there_and_back_again", "nowhere",
        ("not admitted (missing)", "no record of a validation", "make one with `porl validate`"), 3,
    ),
    "rollback": Proof(
        "cli/test_deploy.py::test_there_and_back_again", "--place nowhere",
        ("nowhere: nothing was deployed here before", "deploy another bundle with `porl deploy`"),
    ),
    "rehearse": Proof(
        "cli/test_rehearse.py::test_the_short_form_tells_the_whole_story", "--robot ur5e_lift",
        ("simulation.scene = 'ur5e_lift.yaml'", "has no cell 'calibrated'", "add it to its"),
    ),
    "finetune": Proof(
        "cli/test_finetune.py::test_the_clone_on_the_robot", "--env Nothing-v0 --output out",
        ("no robot config 'Nothing-v0'", "or one of", "Gymnasium knows no environment"),
    ),
    "top": Proof(
        "nodes/test_diagnostics.py::test_the_terminal_view", "--patience 0.1",
        ("--patience", "Input should be greater than or equal to 0.5", "Try 'porl top --help'"), 2,
        interrupted="nodes/test_diagnostics.py::test_the_terminal_view",
    ),
    "params": Proof(
        "cli/test_params.py::test_what_is_printed_is_the_file", "arm",
        ("'arm': must be policy, finetune", "or give --reference"), 2,
    ),
    "version": Proof(
        "cli/test_usage.py::test_version", "--loud",
        ("No such option: --loud", "Try 'porl version --help'"), 2,
    ),
    "replay ls": Proof("cli/test_replay.py::test_ls", "nowhere", NO_FOLDER),
    "replay info": Proof("cli/test_replay.py::test_info", "nowhere", NO_STORE),
    "replay verify": Proof("cli/test_replay.py::test_verify_and_repair", "nowhere", NO_STORE),
    "replay repair": Proof("cli/test_replay.py::test_verify_and_repair", "nowhere", NO_STORE),
    "replay compact": Proof(
        "cli/test_replay.py::test_compact_and_merge", "nowhere out", NO_STORE
    ),
    "replay merge": Proof("cli/test_replay.py::test_compact_and_merge", "nowhere out", NO_STORE),
    "replay prune": Proof(
        "cli/test_replay.py::test_prune", "nowhere --max-age 30",
        ("'30' is no age", "write for example 30d"), 2,
    ),
    "replay export": Proof("cli/test_replay.py::test_export", "nowhere --npz x.npz", NO_STORE),
    "replay import": Proof(
        "cli/test_import.py::test_a_policy_is_cloned_from_a_recording", "nowhere --store s",
        ("nowhere: there is no recording", "name a rosbag2 folder or a file"),
    ),
    "policy ls": Proof("cli/test_policy.py::test_ls", "nowhere", NO_FOLDER),
    "policy show": Proof("cli/test_policy.py::test_show", "nowhere", NO_BUNDLE),
    "policy diff": Proof("cli/test_policy.py::test_diff", "nowhere nowhere", NO_BUNDLE),
    "policy prune": Proof("cli/test_policy.py::test_prune", "nowhere", NO_FOLDER),
    "policy import": Proof(
        "cli/test_policy_import.py::test_weights_become_a_bundle",
        "nowhere --output b --residual 9",
        ("--residual", "than or equal to 2", "Try 'porl policy import --help'"), 2,
    ),
    "classifier train": Proof(
        "cli/test_classifier_command.py::test_train_and_show", "--store nowhere --output judge",
        NO_STORE,
    ),
    "classifier show": Proof(
        "cli/test_classifier_command.py::test_train_and_show", "nowhere",
        ("nowhere: there is no classifier here", "make one with `porl classifier train`"),
    ),
}  # fmt: skip


def test_every_command_has_an_entry():
    assert {f"porl {name}" for name in TESTED} == PORL.keys()


@pytest.mark.parametrize("command", PORL)
def test_help_teaches_with_an_example(porl, command):
    said = porl(*command.split()[1:], "--help")
    assert said.code == 0
    text = re.sub(r"[`\s│]+", " ", said.out)
    assert f"Usage: {command}" in text
    assert command == "porl version" or f"Example: {command}" in text


@pytest.mark.parametrize("name", TESTED)
def test_what_is_wrong_is_told_with_its_remedy(porl, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = TESTED[name]
    said = porl(*name.split(), *entry.wrong.split())
    assert said.code == entry.code
    text = re.sub(r"[\s│]+", " ", said.err + said.out)
    assert all(part in text for part in entry.said), text
    assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", TESTED)
def test_that_it_works_and_ends_by_ctrl_c_is_tested(name):
    entry = TESTED[name]
    assert exists(entry.works), entry.works
    assert not entry.interrupted or exists(entry.interrupted), entry.interrupted
    assert not (entry.interrupted and name in INTERRUPTED)


def exists(test: str) -> bool:
    """Whether a file of tests has this one."""
    file, _, name = test.partition("::")
    body = ast.parse((TESTS / file).read_text()).body
    return any(isinstance(one, ast.FunctionDef) and one.name == name for one in body)
