"""A sequential test of a share: answers are asked for until they are clear, and no longer (Wald 1945)."""

from __future__ import annotations

import math
from dataclasses import dataclass

HOLDS, FAILS = 0.9, 0.7
"""The shares of yes that are told apart: of a label that holds, and of one that does not. A label is true of a feature
that it describes in 0.8 of the cells; further apart, labels of 0.6 and of 0.9 would end alike after few questions."""
ERROR = 0.05
"""Probability of each of the two wrong decisions, about."""


@dataclass(frozen=True)
class SequentialTest:
    """Wald's sequential probability ratio test of two shares.

    Attributes:
        fails: Share of yes under the first hypothesis: the label does not hold.
        holds: Share of yes under the second: the label holds.
    """

    fails: float = FAILS
    holds: float = HOLDS

    @classmethod
    def against(cls, base_rate: float) -> SequentialTest:
        """Return the test of a label that holds in a share of all cells.

        A label that holds in more than half of all cells proves nothing by holding in half of a feature's. Its first
        hypothesis is then the base rate, and the second lies as far on the way to 1 as 0.9 does from 0.7.
        """
        fails = min(max(FAILS, base_rate), 0.98)
        return cls(fails, fails + (1 - fails) * (HOLDS - FAILS) / (1 - FAILS))

    def decision(self, yes: int, no: int) -> bool | None:
        """Return whether the label holds, by the answers so far; None where they are not clear."""
        evidence = yes * math.log(self.holds / self.fails) + no * math.log((1 - self.holds) / (1 - self.fails))
        clear = math.log((1 - ERROR) / ERROR)
        if abs(evidence) < clear:
            return None
        return evidence > 0
