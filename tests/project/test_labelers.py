from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import UsageError
from autointerp.labeling.judging.detection import DETECTION
from autointerp.project.context import Context
from autointerp.project.labelers import (
    CommandSetup,
    LabelerRequest,
    judge_kind,
    labeler_key,
    labeler_kind,
    make_judge,
    make_labeler,
    notes_of,
)
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def context(folder: Path, **values: object) -> Context:
    return Context(WorkspaceFolder.create(folder, Settings.from_values(values)))


@pytest.mark.parametrize(
    ("settings", "request_", "expected"),
    [
        ({}, LabelerRequest(), "shapes-vlm"),
        ({}, LabelerRequest("clip"), "clip"),
        ({"labeler": "clip"}, LabelerRequest(), "clip"),
        ({"labeler": "clip"}, LabelerRequest("prompts"), "prompts"),
        ({}, LabelerRequest(model="gpt-4o-mini"), "vlm"),
        ({}, LabelerRequest(base_url="http://x/v1"), "vlm"),
        ({"model": "someone/model"}, LabelerRequest(), "prompts"),
        ({"model": "someone/model", "base_url": "http://x/v1"}, LabelerRequest(), "vlm"),
    ],
)
def test_the_labeler_that_is_meant(
    tmp_path: Path, settings: dict[str, object], request_: LabelerRequest, expected: str
) -> None:
    assert labeler_kind(context(tmp_path, **settings), request_) == expected


def test_kinds_that_a_command_cannot_use(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    with pytest.raises(UsageError, match="there is no labeler 'clop'"):
        labeler_kind(ctx, LabelerRequest("clop"))
    with pytest.raises(UsageError, match="the labeler human is you"):
        labeler_kind(ctx, LabelerRequest("human"))
    with pytest.raises(UsageError, match="there is no judge 'clip'"):
        judge_kind(ctx, LabelerRequest(judge="clip"))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (LabelerRequest(judge="coin"), "coin"),
        (LabelerRequest("clip"), "vlm"),
        (LabelerRequest("local-vlm"), "local-vlm"),
        (LabelerRequest(), "shapes-vlm"),
    ],
)
def test_a_vlm_judges_its_own_labels(tmp_path: Path, request_: LabelerRequest, expected: str) -> None:
    assert judge_kind(context(tmp_path), request_) == expected


def test_options_win_over_settings(tmp_path: Path) -> None:
    ctx = context(tmp_path, vlm="set", max_calls=9, candidates=2, base_url="http://set/v1")
    set_, asked = CommandSetup(ctx, LabelerRequest()).vlm, CommandSetup(ctx, LabelerRequest(model="asked")).vlm
    assert (set_.model, set_.max_calls, set_.candidates, set_.base_url) == ("set", 9, 2, "http://set/v1")
    assert (asked.model, asked.max_calls) == ("asked", 9)
    most = CommandSetup(ctx, LabelerRequest(max_calls=1, candidates=4, base_url="http://asked/v1")).vlm
    assert (most.max_calls, most.candidates, most.base_url) == (1, 4, "http://asked/v1")


def test_notes_are_of_the_layer_by_any_of_its_names(tmp_path: Path) -> None:
    ctx = context(tmp_path, notes={"mid": "Middle.", "late": "Late."})
    assert notes_of(ctx, "mid") == notes_of(ctx, ctx.layer("mid").hookpoint) == "Middle."
    assert notes_of(ctx, "early") == ""


def test_kinds_make_themselves_with_one_identity(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    assert labeler_key(make_labeler(ctx, LabelerRequest("prompts"), "mid")).kind == "prompts"
    judges = [make_judge(ctx, LabelerRequest(judge=name), DETECTION) for name in ("coin", "oracle", "coin")]
    keys = [labeler_key(judge) for judge in judges]
    assert keys[0] == keys[2] != keys[1]
    assert [key.model for key in keys] == ["coin", "oracle", "coin"]
