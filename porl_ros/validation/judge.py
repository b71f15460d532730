"""The rule of a robot config applied to episodes, one after the other, until it is decided."""

from collections.abc import Mapping

from porl_ros.robot.config_gate import Rule
from porl_ros.sequential import MeanTest, chances, mean_bounds
from porl_ros.validation.record import Criterion, Measured

EVEN = 0.5  # what as many wins as losses against the reference come to
PEAKS = ("velocity", "acceleration", "contact_force")


class Judge:
    """Takes in episodes in the order of their seeds; `decision` is None until there is one.

    As a base only the safety bounds count, and the whole suite is run: its success is measured to
    compare others with. `reference`: episodes of another policy by seed; those that both have had
    are compared as pairs.
    """

    def __init__(
        self,
        rule: Rule,
        planned: int,
        as_base: bool = False,
        reference: Mapping[int, Measured] | None = None,
    ):
        self.rule, self.planned, self.as_base = rule, planned, as_base
        self.episodes: list[Measured] = []
        self.decision: str | None = None
        self._reference = reference or {}
        self._tests = {} if as_base else _tests(rule, bool(self._reference))
        self._base_rate = 0.0

    def observe(self, one: Measured) -> str | None:
        """Take in an episode; returns `decision`, which does not change any more."""
        if self.decision is None:
            self.episodes.append(one)
            if test := self._tests.get("success"):
                test.observe(float(one.success))
            pair = self._reference.get(one.seed)
            if pair and (test := self._tests.get("comparison")):
                test.observe((1.0 + one.success - pair.success) / 2.0)
            self.decision = self._decide()
        return self.decision

    def _decide(self) -> str | None:
        verdicts = [test.verdict for test in self._tests.values()]
        if False in verdicts or self._exceeded:
            return "refused"
        shown = all(verdicts) and len(self.episodes) >= self.rule.least and not self.as_base
        if not shown and len(self.episodes) < self.planned:
            return None
        # Shares are judged here and now: whoever waits long enough sees a mean dip under its bound.
        return "admitted" if all(c.holds for c in self.criteria() if c.asked) else "refused"

    @property
    def _exceeded(self) -> bool:
        """A peak does not come down again."""
        return any(c.holds is False for c in self._peaks())

    def criteria(self) -> list[Criterion]:
        """Everything that was asked for or measured, as it stands now."""
        return [*self._success(), *self._comparison(), *self._shares(), *self._peaks()]

    @property
    def why(self) -> str:
        """The decision in a sentence."""
        missed = [c for c in self.criteria() if c.asked and not c.holds]
        n = len(self.episodes)
        if self.decision == "admitted":
            how = "by the safety bounds, as a base" if self.as_base else "everything asked for"
            return f"{how} holds after {n} of {self.planned} episodes"
        reasons = (
            f"{c.name} {'not shown to be' if c.holds is None else 'is not'} {c.asked}"
            for c in missed
        )
        return f"{'; '.join(reasons)} (after {n} of {self.planned} episodes)"

    def chances(self) -> dict[str, float]:
        """Exact chances to be admitted, of policies at the two limits of the success that is asked
        for, as far as success alone decides."""
        test = self._tests.get("success")
        if not test:
            return {}
        return {
            f"{at:g}": chances(MeanTest(test.low, test.high, test.false_yes, test.false_no,
                                        test.least), at, self.planned)[0]
            for at in (test.low, test.high)
        }  # fmt: skip

    def _success(self) -> list[Criterion]:
        wins = sum(one.success for one in self.episodes)
        low, high = mean_bounds(
            {1.0: wins, 0.0: len(self.episodes) - wins}, self.rule.false_admission
        )
        found = wins / len(self.episodes) if self.episodes else None
        test = self._tests.get("success")
        asked = f"at least {test.low:g}" if test else ""
        holds = test.verdict if test else None
        return [
            Criterion(name="success", asked=asked, found=found, low=low, high=high, holds=holds)
        ]

    def _comparison(self) -> list[Criterion]:
        """Success less that of the reference, in the same episodes."""
        if not (test := self._tests.get("comparison")):
            return []
        pairs = test.outcomes.total()
        mean = sum(v * n for v, n in test.outcomes.items()) / pairs if pairs else EVEN
        low, high = mean_bounds(test.outcomes, self.rule.false_admission)
        return [
            Criterion(
                name="success less the reference's",
                asked=f"at least {-self.rule.worse_by:g}",
                found=2.0 * mean - 1.0,
                low=2.0 * low - 1.0,
                high=2.0 * high - 1.0,
                holds=test.verdict,
            )
        ]

    def _shares(self) -> list[Criterion]:
        steps = sum(one.steps for one in self.episodes)
        share = sum(one.intervened for one in self.episodes) / max(1, steps)
        return [
            _at_most("interventions", self.rule.bounds.interventions, share),
            *self._roughness(),
        ]

    def _roughness(self) -> list[Criterion]:
        bounds = self.rule.bounds
        own = sum(one.roughness for one in self.episodes) / max(1, len(self.episodes))
        found = [_at_most("roughness", bounds.chatter, own)]
        pairs = [self._reference[one.seed] for one in self.episodes if one.seed in self._reference]
        if not pairs:
            return found
        theirs = sum(one.roughness for one in pairs) / len(pairs)
        both = [one.roughness for one in self.episodes if one.seed in self._reference]
        factor = sum(both) / len(both) / max(theirs, 1e-9)
        return [*found, _at_most("roughness, of the reference's", bounds.roughness, factor)]

    def _peaks(self) -> list[Criterion]:
        return [
            _at_most(
                name.replace("_", " "),
                getattr(self.rule.bounds, name),
                max((getattr(one, name) for one in self.episodes), default=0.0),
            )
            for name in PEAKS
        ]


def _tests(rule: Rule, compared: bool) -> dict[str, MeanTest]:
    """The chance to be turned away wrongly is shared between them."""
    compared &= rule.worse_by is not None
    shared = rule.false_refusal / (2 if compared and rule.success is not None else 1)
    tests = {}
    if rule.success is not None:
        high = rule.success + rule.margin
        tests["success"] = MeanTest(rule.success, high, rule.false_admission, shared, rule.least)
    if compared:
        low = EVEN - rule.worse_by / 2.0
        tests["comparison"] = MeanTest(low, EVEN, rule.false_admission, shared, rule.least)
    return tests


def _at_most(name: str, bound: float | None, found: float) -> Criterion:
    asked = "" if bound is None else f"at most {bound:g}"
    holds = None if bound is None else found <= bound + 1e-6
    return Criterion(name=name, asked=asked, found=found, holds=holds)
