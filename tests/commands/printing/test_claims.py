"""Verdicts are printed as a table, with a numbered reason each."""

from __future__ import annotations

import pytest

from autointerp.commands.printing.claims import print_findings
from autointerp.experiments.claims.catalogue import CLAIMS
from autointerp.experiments.claims.claim import Finding
from autointerp.views.verdicts import ClaimVerdict


def test_a_row_and_a_reason_each(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        ClaimVerdict("Features edit (turbo)", "arXiv 1", "", 0.5, 0.4, 0.6, "holds", "because"),
        ClaimVerdict("Features edit (base)", "arXiv 1", "", None, None, None, "undecided", "not measured"),
    ]
    print_findings([Finding(CLAIMS[0], "turbo", one, 7) for one in rows])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:6] == ["1", "holds", "0.500", "(0.400", "to", "0.600)"]
    assert "-" in lines[2]
    assert lines[-2:] == ["1. because", "2. not measured"]
