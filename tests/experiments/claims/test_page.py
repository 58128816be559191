"""The page tells the command, the sizes, and every verdict with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import UsageError
from autointerp.experiments.claims.catalogue import CLAIMS
from autointerp.experiments.claims.claim import Finding
from autointerp.experiments.claims.page import check_page, page_of, plot_of, value_text, write_page
from autointerp.experiments.claims.studies import QUICK
from autointerp.views.verdicts import ClaimVerdict, Decision


def finding(decision: Decision, ours: float | None = 0.25, study: str = "turbo") -> Finding:
    claim = next(one for one in CLAIMS if one.key == "replacing-works")
    low, high = (None, None) if ours is None else (ours - 0.1, ours + 0.1)
    text = f"{claim.text} ({study})"
    row = ClaimVerdict(text, "arXiv 2606.31699", "no figure", ours, low, high, decision, "why not")
    return Finding(claim, study, row, 18)


def test_the_page_has_counts_tables_and_reasons() -> None:
    page = page_of(
        [finding("holds"), finding("undecided", None, "base")], QUICK, "autointerp experiment claims", "c.png"
    )
    assert "Of 2 verdicts on 1 claims, 1 hold, 0 fail, and 1 are undecided." in page
    assert "```bash\nautointerp experiment claims\n```" in page
    assert "24 cases of edits, of which 6 served" in page
    assert "![The figures that decide most claims, drawn](c.png)" in page
    assert "| no figure | 0.250 (0.150 to 0.350) | 18 | **holds** |" in page
    assert "| no figure | - | 18 | **undecided** |" in page
    assert "- Replacing cells edits better than features do (base): why not." in page
    assert "](None)" not in page_of([finding("holds")], QUICK, "autointerp experiment claims", None)


def test_a_figure_without_an_interval_stands_alone() -> None:
    verdict = ClaimVerdict("c", "s", "t", 0.5, None, None, "undecided", "")
    assert value_text(verdict) == "0.500"


def test_the_plot_lies_beside_the_page(tmp_path: Path) -> None:
    file = tmp_path / "claims.md"
    write_page(file, "text", b"png")
    assert (file.read_text(), plot_of(file).read_bytes()) == ("text", b"png")
    write_page(file, "again", None)
    assert file.read_text() == "again"


def test_a_page_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Markdown file"):
        check_page(tmp_path / "claims.html")
    with pytest.raises(UsageError, match="there is no folder"):
        check_page(tmp_path / "missing" / "claims.md")
    check_page(tmp_path / "claims.md")
