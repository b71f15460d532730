"""What the benchmark of the gate makes of verdicts and outcomes."""

import numpy as np
import pytest
from gated import episode
from scipy.stats import spearmanr

from benchmarks.gate_worth.agreement import agreement, rank_correlation
from benchmarks.gate_worth.judging import success, verdict
from benchmarks.gate_worth.tables import tables
from porl_ros.robot.config_gate import Rule
from porl_ros.validation.judge import Judge

RULE = Rule()


def test_a_verdict_names_what_stopped_it():
    failing = [episode(seed, success=False) for seed in range(60)]
    said = verdict(Judge(RULE, 60), failing)
    assert said["decision"] == "refused"
    assert said["stopped_by"] == ["success"]
    assert said["after"] < 20
    hard = [episode(0), episode(1, contact_force=900.0), episode(2)]
    assert verdict(Judge(RULE, 60), hard) == {
        "decision": "refused", "after": 2, "stopped_by": ["contact force"]
    }  # fmt: skip
    few = verdict(Judge(RULE, 3), [episode(seed) for seed in range(3)])
    assert few["stopped_by"] == ["success, not shown"]
    good = verdict(Judge(RULE, 200), [episode(seed) for seed in range(200)])
    assert good == {"decision": "admitted", "after": RULE.least, "stopped_by": []}


def row(predicted: int, found: int, decision: str = "refused") -> dict:
    """A bundle with so many successes of 100."""
    gate = {"successes": predicted, "episodes": 100, "alone": {"decision": decision}}
    twin = {"successes": found, "episodes": 100, "contact_force": float(100 + found)}
    return {"gates": {"nominal": gate}, "there": twin}


def test_agreement_counts_what_was_let_in_and_what_it_came_to():
    rows = [row(95, 90, "admitted"), row(96, 50, "admitted"), row(40, 85), row(10, 20)]
    found = agreement(rows, "nominal", 0.8)
    assert (found.admitted, found.short, found.missed) == (2, 1, 1)
    assert (found.lowest, found.hardest) == (0.5, 190.0)
    assert found.bias == pytest.approx(-0.01)
    assert found.error == pytest.approx(np.sqrt((0.05**2 + 0.46**2 + 0.45**2 + 0.1**2) / 4))


def test_the_interval_of_a_rank_correlation_is_wide_where_little_is_known():
    rng = np.random.default_rng(1)
    x = np.arange(30.0)
    near = x + rng.normal(0.0, 3.0, 30)
    value, low, high = rank_correlation(x, near)
    assert value == pytest.approx(spearmanr(x, near).statistic)
    assert low <= value <= high
    assert low > 0.7
    value, low, high = rank_correlation(x, rng.permutation(x))
    assert low < 0.0 < high


def test_success_says_how_hard_and_how_rough_it_was():
    said = success([episode(0), episode(1, success=False, contact_force=300.0, roughness=0.5)])
    assert said == {"successes": 1, "episodes": 2, "contact_force": 300.0, "roughness": 0.4}


@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
def test_the_tables_say_what_got_through():
    def said(rate: int, decision: str, *stopped_by: str) -> dict:
        verdict = {"decision": decision, "after": 40, "stopped_by": stopped_by}
        return {"successes": rate, "episodes": 100, "contact_force": 1.0, "alone": verdict}

    good, bad = said(97, "admitted"), said(30, "refused", "success")
    rows = [
        {"seed": seed, "bundle": name, "gates": {"nominal": bad, "calibrated": good}, "there": good}
        for seed in (0, 1)
        for name in ("cloned-10", "twin", "far")
    ]
    spoilt = {"seed": 0, "kind": "flipped sign", "of": "twin", "gate": "nominal"}
    spoilt = [spoilt | bad | {"there": None}, spoilt | said(90, "admitted") | {"there": bad}]
    on_twin = [row for row in rows if row["bundle"] != "far"]
    found = tables({"asked": 0.8, "bundles": on_twin, "far": rows, "sabotaged": spoilt})
    text = "\n".join(table.markdown() for table in found)
    assert "| refused, though 0.8 or more on the twin | 4 | 0 |" in text
    assert "| twin | 0.30 (0.30 to 0.30), 0 of 2 admitted | 0.97 (0.97 to 0.97), 2 of" in text
    assert "| far | 1 | far | 0.30, refused after 40 | 0.97, admitted after 40 | 0.97 |" in text
    assert "success (40); 1 of 2 ADMITTED, on the twin 0.30" in text
