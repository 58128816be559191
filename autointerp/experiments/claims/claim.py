"""What a claim is, and how it is decided: by figures of experiments, against a margin that is fixed beforehand.

A claim names the figures that decide it. A contrast of them, such as a way less its control, has an interval. The claim
holds if the whole interval lies above the margin, fails if it lies below, and is undecided if the margin is inside.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autointerp.experiments.protocol import Figure
from autointerp.experiments.statistics import UNKNOWN, Estimate, combined
from autointerp.views.figures import number_text
from autointerp.views.verdicts import ClaimVerdict, Decision

NEEDED = 0.05
"""A difference of less than five points counts as none, where a claim says nothing else."""
LEAST = 16
"""Figures of fewer pictures, cases or features decide nothing: intervals of so few cannot be trusted."""


@dataclass(frozen=True)
class Term:
    """A figure of an experiment, by the three names of a `Figure`.

    Names may have places in braces, which a study fills in: its `{first}`, `{middle}` and `{last}` step.
    """

    name: str
    group: str
    way: str

    def estimate(self, figures: Mapping[tuple[str, str, str], Figure], places: Mapping[str, Any]) -> Estimate:
        """Return the figure; unknown where it was not measured."""
        found = figures.get((self.name.format(**places), self.group.format(**places), self.way))
        return UNKNOWN if found is None else Estimate(found.value, found.low, found.high, found.n)


Sum = tuple[tuple[float, Term], ...]
"""Figures with weights."""


def mean_of(terms: Sequence[Term], weight: float = 1.0) -> Sum:
    """Return the mean of figures, times a weight."""
    return tuple((weight / len(terms), term) for term in terms)


@dataclass(frozen=True)
class Contrast:
    """What decides: a sum of figures less another one.

    Attributes:
        says: What it is, as the subject of a line.
        left: The figures.
        right: What is taken from them; empty for nothing.
        margin: The interval must lie above it for the claim to hold, and below it for the claim to fail.
        within: If not None, the interval must lie between `-within` and `within` instead, or outside of both.
        plus: A number that is added, as where 1 less a figure is meant.
        premise: Whether the claim can only be tested where this holds, such as that a dictionary works at home.
    """

    says: str
    left: Sum
    right: Sum = ()
    margin: float = NEEDED
    within: float | None = None
    plus: float = 0.0
    premise: bool = False

    @property
    def rule(self) -> str:
        """When the claim holds, in words."""
        if self.within is not None:
            return f"within {self.within:g} of 0"
        return f"above {self.margin:g}"


@dataclass(frozen=True)
class Claim:
    """A published claim.

    Attributes:
        key: A short name.
        text: The claim.
        source: The paper's arXiv number.
        theirs: The figure there, with how far it can be trusted; empty where none could be read.
        experiment: The experiment that decides it here.
        studies: Names of the studies in which it is decided.
        contrasts: What decides it; all must agree for it to hold, and one is enough for it to fail. If a premise
            among them does not hold, the claim stays undecided.
    """

    key: str
    text: str
    source: str
    theirs: str
    experiment: str
    studies: tuple[str, ...]
    contrasts: tuple[Contrast, ...]


@dataclass(frozen=True)
class Finding:
    """A verdict, with the claim, the study and the number of pictures or cases behind it."""

    claim: Claim
    study: str
    verdict: ClaimVerdict
    n: int


def decide(claim: Claim, study: str, title: str, figures: Sequence[Figure], places: Mapping[str, Any]) -> Finding:
    """Decide a claim by the figures of an experiment.

    Args:
        claim: The claim.
        study: The study's name.
        title: The study's model and steps, for people.
        figures: What the experiment measured.
        places: What the braces of terms mean in this study.
    """
    known = {(one.name, one.group, one.way): one for one in figures}
    decided = [(one, *_measured(one, known, places)) for one in claim.contrasts]
    decisions = [_decision(one, found) for one, found, _ in decided]
    main = [decision for one, decision in zip(claim.contrasts, decisions, strict=True) if not one.premise]
    verdict: Decision = "undecided"
    if all(made == "holds" for one, made in zip(claim.contrasts, decisions, strict=True) if one.premise):
        if "fails" in main:
            verdict = "fails"
        elif all(made == "holds" for made in main):
            verdict = "holds"
    shown = min(((one, found) for one, found, _ in decided if not one.premise), key=lambda one: _room(one[0], one[1]))[
        1
    ]
    reason = "; ".join(
        f"{'premise: ' if one.premise else ''}{text} ({made}: it must be {one.rule}{_too_few(found)})"
        for (one, found, text), made in zip(decided, decisions, strict=True)
    )
    row = ClaimVerdict(
        f"{claim.text} ({title})", f"arXiv {claim.source}", claim.theirs, *shown[:3], verdict=verdict, reason=reason
    )
    return Finding(claim, study, row, shown.n)


def _measured(
    contrast: Contrast, known: Mapping[tuple[str, str, str], Figure], places: Mapping[str, Any]
) -> tuple[Estimate, str]:
    """Return a contrast with its interval, and as text with its parts."""
    left, right = (
        [(weight, term.estimate(known, places)) for weight, term in side] for side in (contrast.left, contrast.right)
    )
    given = Estimate(contrast.plus, contrast.plus, contrast.plus, sys.maxsize)
    found = combined([*left, *((-weight, one) for weight, one in right), (1.0, given)])
    if found.value is None:
        return found, f"{contrast.says}: not measured"
    text = f"{contrast.says}: {_text(found)}"
    if right:
        text += f" = {_text(combined(left))} less {_text(combined(right))}"
    return found, text


def _decision(contrast: Contrast, found: Estimate) -> Decision:
    if found.low is None or found.high is None or found.n < LEAST:
        return "undecided"
    if contrast.within is not None:
        if -contrast.within < found.low and found.high < contrast.within:
            return "holds"
        return "fails" if found.low > contrast.within or found.high < -contrast.within else "undecided"
    if found.low > contrast.margin:
        return "holds"
    return "fails" if found.high < contrast.margin else "undecided"


def _too_few(found: Estimate) -> str:
    return f"; {found.n} are too few to decide" if found.value is not None and found.n < LEAST else ""


def _room(contrast: Contrast, found: Estimate) -> float:
    """Return how far a contrast lies on the side on which the claim holds; unknown ones lie farthest from it."""
    if found.value is None:
        return float("-inf")
    return found.value - contrast.margin if contrast.within is None else contrast.within - abs(found.value)


def _text(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "-" if found.value is None else number_text(found.value)
    return f"{number_text(found.value)} ({number_text(found.low)} to {number_text(found.high)})"
