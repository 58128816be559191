"""How long a plan is expected to take: by the world's pace and this machine's, and nothing where none is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.progress import NullProgress
from autointerp.project import pace
from autointerp.project.context import Context
from autointerp.project.pace import parts_of, probe, scheduled
from autointerp.project.plan import Plan, Step
from autointerp.project.schedule import WorkSchedule
from autointerp.project.settings import Settings
from autointerp.project.targets import Target
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.pipeline.jobs import LabelJob
from autointerp.stages.pipeline.labels import label_layer

STEPS = (
    Step("fit", "x", True, images=100, units=100),
    Step("harvest", "x", False, images=100, units=100),
    Step("label", "x", True, "8 features by shapes-vlm", units=8),
    Step("score", "x", True, "detection score of 8 labels", units=8, part="detection score"),
)


def context(tmp_path: Path, **settings: object) -> Context:
    return Context(WorkspaceFolder(tmp_path / "w", Settings.from_values(dict(settings))))


def test_a_machine_of_half_the_speed_takes_twice_as_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path)
    monkeypatch.setattr(pace, "probe", lambda: pace.REFERENCE)
    known = parts_of(ctx, STEPS, "shapes-vlm")
    assert [(part.name, part.units) for part in known] == [("fit", 100), ("label", 8), ("detection score", 8)]
    monkeypatch.setattr(pace, "probe", lambda: 2 * pace.REFERENCE)
    slow = parts_of(ctx, STEPS, "shapes-vlm")
    assert [part.seconds for part in slow] == pytest.approx([2 * (part.seconds or 0) for part in known])


def test_more_denoising_takes_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "probe", lambda: pace.REFERENCE)
    few, many = (parts_of(context(tmp_path, steps=steps), STEPS)[0].seconds for steps in (1, 8))
    assert few is not None
    assert many is not None
    assert few < many


def test_nothing_is_expected_of_other_labelers(tmp_path: Path) -> None:
    fit, label, score = parts_of(context(tmp_path), STEPS, "clip")
    assert fit.seconds is not None
    assert label.seconds is score.seconds is None


def test_what_label_does_by_itself_has_a_time(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    steps = label_layer(ctx, LabelJob(Target("mid")), dry_run=True).plan.steps
    parts = parts_of(ctx, steps, ctx.world.labeler or "")
    assert [part.name for part in parts][-2:] == ["embedding score", "gain score"]
    assert all(part.seconds for part in parts)


def test_a_command_within_a_longer_one_takes_its_schedule(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    ctx.progress = outer = WorkSchedule(NullProgress(), [])
    with scheduled(ctx, Plan(STEPS), "label"):
        assert ctx.progress is outer
    ctx.progress = plain = NullProgress()
    with scheduled(ctx, Plan(STEPS), "label"):
        assert isinstance(ctx.progress, WorkSchedule)
    assert ctx.progress is plain
    with scheduled(ctx, Plan(()), "label"):
        assert ctx.progress is plain


def test_the_probe_takes_a_moment() -> None:
    assert 0 < probe() < 5
