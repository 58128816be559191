"""`experiment claims` at the command line; tests/experiments/claims has what it measures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.experiments.claims import experiment
from autointerp.experiments.protocol import Figure
from tests.commands.lines import Misuse, check_misuse

MISUSE: Misuse = {
    "a page that is none": (["experiment", "claims", "--markdown", "x.html"], 2, ["x.html", ".md"]),
    "an experiment that decides nothing": (["experiment", "claims", "--experiment", "steer"], 2, ["steer"]),
    "too few cases": (["experiment", "claims", "--quick", "--cases", "3"], 2, ["--cases"]),
    "pages in no folder": (["experiment", "claims", "--markdown", "no/x.md"], 2, ["no folder"]),
}


@pytest.mark.parametrize("case", sorted(MISUSE))
def test_misuse_is_one_line_with_what_to_do(
    made: Path, cli: Callable[..., Any], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made.parent)
    check_misuse(cli, made, MISUSE[case])


def test_a_plan_makes_nothing_and_needs_no_workspace(cli: Callable[..., Any], tmp_path: Path) -> None:
    done = cli("-w", tmp_path / "w", "experiment", "claims", "--quick", "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("experiment claims: ")
    assert "runs of the denoiser" in done.out
    assert not (tmp_path / "w").exists()


def test_verdicts_as_a_table_as_json_and_as_a_page(
    made: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted(*_: Any) -> list[Figure]:
        return [
            Figure("dead share", "raw inputs", "topk", 0.9, 0.8, 0.95, 64),
            Figure("dead share", "normalized inputs", "topk", 0.1, 0.05, 0.2, 64),
        ]

    monkeypatch.setattr(experiment, "fit_figures", fitted)
    page = made / "claims.md"
    call = ("-w", made, "experiment", "claims", "--quick", "--experiment", "fits")
    done = cli(*call, "--markdown", page)
    assert done.code == 0
    assert "holds      0.900" in done.out
    assert "not measured" in done.out
    text = page.read_text(encoding="utf-8")
    assert "autointerp experiment claims --quick --experiment fits --markdown claims.md" in text
    rows = json.loads(cli("-q", *call, "--json").out)
    assert [row["verdict"] for row in rows] == ["holds", "undecided", "undecided"]
    assert set(rows[0]) == {"claim", "source", "theirs", "ours", "ci_low", "ci_high", "verdict", "reason"}
    assert rows[0]["source"] == "arXiv 2505.24360"
    assert rows[1]["ours"] is None
