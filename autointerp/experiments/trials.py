"""Results of arms on cases: which cases serve for choosing, what counts as success, and the best arm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autointerp.experiments.arms import CONTROLS, Arm
from autointerp.experiments.protocol import Figure
from autointerp.experiments.statistics import Estimate, mean, share
from autointerp.worlds import EditCase, EditVerdict

LEAST_KEPT = 0.9
"""An edit succeeds if the wanted thing is there, and at least so many of the cells outside are as they were."""


def packed(verdicts: Mapping[str, EditVerdict]) -> dict[str, list[float]]:
    """Return verdicts as plain JSON."""
    return {
        key: [
            *(int(one.reached), round(one.kept, 4), int(one.valid)),
            *(round(more, 6) for more in (one.gain, one.distance) if more is not None),
        ]
        for key, one in verdicts.items()
    }


@dataclass(frozen=True)
class EditTrial:
    """What became of one case under one arm: see `EditVerdict`."""

    reached: bool
    kept: float
    valid: bool
    gain: float | None = None
    distance: float | None = None

    @property
    def success(self) -> bool:
        """Whether the edit did what was wanted and left the rest alone."""
        return self.reached and self.kept >= LEAST_KEPT


Measure = Callable[[Sequence[EditTrial]], Estimate]
MEASURES: dict[str, Measure] = {
    "success": lambda trials: share(sum(one.success for one in trials), len(trials)),
    "reached": lambda trials: share(sum(one.reached for one in trials), len(trials)),
    "kept": lambda trials: mean([one.kept for one in trials]),
    "valid": lambda trials: share(sum(one.valid for one in trials), len(trials)),
    "CLIP gain": lambda trials: mean([one.gain for one in trials if one.gain is not None]),
    "distance": lambda trials: mean([one.distance for one in trials if one.distance is not None]),
}
"""What is measured of trials, by the name of its figure; the last two only where the truth is not known."""
JUDGED = ("CLIP gain", "distance")


class Trials:
    """The results of units, each a case.

    Args:
        cases: The cases.
        results: Case's key -> the unit's result.
    """

    def __init__(self, cases: Iterable[EditCase], results: Mapping[str, Mapping[str, Any]]) -> None:
        self.cases = [case for case in cases if results.get(case.key, {}).get("shown")]
        self._results = results

    def of(self, key: str, kinds: Sequence[str] = ()) -> list[EditTrial]:
        """Return the trials of an arm by its key, of some kinds of edits or of all."""
        found = []
        for case in self.cases:
            verdict = self._results[case.key]["verdicts"].get(key)
            if verdict is not None and (not kinds or case.kind in kinds):
                found.append(EditTrial(bool(verdict[0]), float(verdict[1]), bool(verdict[2]), *verdict[3:]))
        return found

    def measures(self) -> list[str]:
        """Return the names of the measures that these results have."""
        judged = any(len(one) > 3 for case in self.cases[:1] for one in self._results[case.key]["verdicts"].values())
        return [name for name in MEASURES if judged or name not in JUDGED]

    def rate(self, arm: Arm) -> float:
        """Return the share of an arm's cases that succeed."""
        trials = self.of(arm.key)
        return sum(one.success for one in trials) / max(len(trials), 1)

    def best(self, arms: Sequence[Arm]) -> Arm:
        """Return the arm with the most successes, the first of those that tie."""
        return max(arms, key=self.rate)

    def estimate(self, name: str, key: str, kinds: Sequence[str] = ()) -> Estimate:
        """Return a measure of `MEASURES` of an arm, of some kinds of edits or of all."""
        return MEASURES[name](self.of(key, kinds))

    def figure(self, name: str, group: str, way: str, key: str, kinds: Sequence[str] = ()) -> Figure:
        """Return a figure of `MEASURES` of an arm."""
        return Figure(name, group, way, *self.estimate(name, key, kinds), control=way in CONTROLS)


def choosing(cases: Sequence[EditCase], count: int) -> frozenset[str]:
    """Return the keys of the cases that serve for choosing: those of the smallest hashes."""
    keys = sorted((case.key for case in cases), key=lambda key: hashlib.sha256(key.encode()).digest())
    return frozenset(keys[:count])
