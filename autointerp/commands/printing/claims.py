"""Verdicts on published claims for people: a table, and below it the reason of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autointerp.commands.printing.tables import say, table
from autointerp.experiments.claims.page import value_text

if TYPE_CHECKING:
    from autointerp.experiments.claims.claim import Finding


def print_findings(findings: Sequence[Finding]) -> None:
    """Print all verdicts."""
    rows = [
        (str(i), one.verdict.verdict, value_text(one.verdict), str(one.n), one.verdict.source, one.verdict.claim)
        for i, one in enumerate(findings, start=1)
    ]
    table(("", "verdict", "here", "n", "source", "claim"), rows)
    say("")
    for i, one in enumerate(findings, start=1):
        say(f"{i}. {one.verdict.reason}")
