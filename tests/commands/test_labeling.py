"""`label` and `score` at the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.lines import Misuse, check_misuse

Cli = Callable[..., Any]


MISUSE: Misuse = {
    "unknown layer": (["label", "--layer", "mdi"], 2, ["did you mean 'mid'?", "early, mid, late"]),
    "score before anything": (["score", "--layer", "mid"], 1, ["autointerp label"]),
    "unknown score": (["score", "--layer", "mid", "--method", "detect"], 2, ["did you mean 'detection'?"]),
    "unknown labeler": (["label", "--layer", "mid", "--labeler", "clop"], 2, ["did you mean 'clip'?"]),
    "no features": (["label", "--layer", "mid", "-n", "0"], 2, ["-n"]),
    "a negative feature": (["label", "--layer", "mid", "--feature", "-1"], 2, ["--feature"]),
    "no money": (["label", "--layer", "mid", "--max-cost", "0"], 2, ["--max-cost"]),
    "no jobs": (["label", "--layer", "mid", "-j", "0"], 2, ["--jobs"]),
    "unknown option": (["label", "--layr", "mid"], 2, ["--layer"]),
    "a missing option": (["label"], 2, ["--layer"]),
}


@pytest.mark.parametrize("case", sorted(MISUSE))
def test_misuse_is_one_line_with_what_to_do(made: Path, cli: Cli, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent)
    check_misuse(cli, made, MISUSE[case])


@pytest.mark.parametrize("wrong", [["--labeler", "nonsense"], ["--labeler", "local-vlm"], ["--labeler", "human"]])
def test_a_labeler_that_cannot_work_leaves_no_workspace(cli: Cli, tmp_path: Path, wrong: list[str]) -> None:
    done = cli("-w", tmp_path / "w", "label", "--layer", "mid", *wrong)
    assert done.code != 0
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "w").exists()


def test_a_plan_of_what_is_done(labeled: Path, cli: Callable[..., Any]) -> None:
    for command in ("label", "score"):
        done = cli("-w", labeled, command, "--layer", "mid", "--dry-run")
        assert done.code == 0, done.err
        assert done.out.strip()
    refused = cli("-w", labeled, "label", "--layer", "mid", "--labeler", "oracle")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
