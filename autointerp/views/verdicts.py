"""Verdicts on published claims: what `experiment claims` decides, prints and reports, and what pages show."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pydantic import FiniteFloat

from autointerp.views.figures import number_text

Decision = Literal["holds", "fails", "undecided"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)


@dataclass(frozen=True)
class ClaimVerdict:
    """What became of a claim in one study; the keys of `experiment claims --json`.

    Attributes:
        claim: The claim, with the model and its steps.
        source: The paper.
        theirs: The figure there; empty where none could be read.
        ours: The contrast that decides, or the one that comes nearest to failing; None where it was not measured.
        ci_low: Lower end of its 95% interval.
        ci_high: Upper end.
        verdict: One of `DECISIONS`.
        reason: What was measured, and the rule.
    """

    claim: str
    source: str
    theirs: str
    ours: FiniteFloat | None
    ci_low: FiniteFloat | None
    ci_high: FiniteFloat | None
    verdict: Decision
    reason: str

    @property
    def parts(self) -> list[str]:
        """The reason, a part for each figure that decides."""
        # A part ends with its rule in brackets, in which there may be a semicolon too.
        return re.split(r"(?<=\)); ", self.reason)

    @property
    def interval(self) -> str:
        """The 95% interval, such as `0.390 to 0.431`; empty where there is none."""
        if self.ci_low is None or self.ci_high is None:
            return ""
        return f"{number_text(self.ci_low)} to {number_text(self.ci_high)}"

    def as_dict(self) -> dict[str, Any]:
        """Return the row as `--json` prints it."""
        return asdict(self)
