"""Studies are workspaces of their own, and their experiments take as many pictures as is planned before any fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autointerp import Workspace
from autointerp.experiments import edit
from autointerp.experiments.claims import studies
from autointerp.experiments.claims.studies import FULL, QUICK, Sizes, Study, fit_cost, part_cost, studies_of
from autointerp.experiments.kinds import EXPERIMENTS
from autointerp.progress import NullProgress
from autointerp.project.context import Context


def study(name: str, sizes: Sizes) -> Study:
    return next(one for one in studies_of(sizes) if one.name == name)


@pytest.mark.parametrize("name", ["edit", "intervene", "emergence", "probe", "transfer"])
def test_the_planned_pictures_are_those_of_the_units(labeled: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests' workspace has a dictionary of the middle layer alone.
    monkeypatch.setattr(studies, "LAYERS", ("mid",))
    monkeypatch.setattr(studies, "EDITED", ("sae", "neurons", "patch"))
    own = study("one-step" if name == "transfer" else "base", replace(QUICK, pictures=10, cases=9, choosing=4))
    (part,) = [one for one in own.parts if one.experiment == name]
    ctx = Context(Workspace(labeled), steps=3, capture_steps=[1])
    options = {key: ("mid",) if key == "layers" else value for key, value in part.options.items()}
    planned: Any = EXPERIMENTS[name].load().plan(ctx, {**options, **({"steps": (0,)} if name == "probe" else {})})
    expected = part.images
    if name == "edit":
        # One layer is one place. Two would be three: each, and both together.
        arms = {arm.key for arm in planned.trial_arms()}
        tried, reported = len(arms), len(planned.reported_arms(None))
        assert tried == sum(len(studies.WAYS[way].strengths) for way in studies.EDITED)
        assert reported == len(studies.EDITED) + 1 + 2 * len({*edit.SWEEP} - {studies.FEATURES})
        places = 2
        expected -= (places - 1) * (4 * tried + 5 * (len(studies.EDITED) + 1))
    if name == "transfer":
        expected += 10 * (len(planned.conditions) - 3)
    assert sum(unit.images for unit in planned.units()) == expected


def test_a_study_has_a_workspace_in_the_callers_folder(made: Path) -> None:
    ctx = Context(Workspace(made), seed=5, batch_size=3)
    own = study("turbo", QUICK)
    planned = own.context(ctx, "claims", NullProgress(), dry_run=True)
    assert not (made / "claims").exists()
    opened = own.context(ctx, "claims", NullProgress())
    assert (made / "claims" / "turbo" / "autointerp.toml").is_file()
    for one in (planned, opened):
        assert (one.settings.model, one.settings.seed, one.settings.batch_size) == ("shapes-turbo", 5, 3)
        assert one.capture_steps == (0, 1, 2, 3)
        assert one.layer("mid").signal == "output"
    opened.workspace.close()


def test_costs_are_known_before_anything_is_made(made: Path) -> None:
    ctx = Context(Workspace(made))
    for sizes in (QUICK, FULL):
        for own in studies_of(sizes):
            at = own.context(ctx, "claims", NullProgress(), dry_run=True)
            assert fit_cost(at, own).images == own.images >= sizes.fitted
            for part in own.parts:
                cost = part_cost(at, part)
                assert cost.images >= part.images
                assert cost.seconds is not None
                # `shapes` runs twice a step, for its guidance.
                assert cost.runs >= cost.images or own.name == "one-step"
    assert not (made / "claims").exists()


def test_places_are_steps_of_the_run() -> None:
    assert study("base", FULL).places == {"first": 0, "middle": 6, "last": 11}
    assert study("base", FULL).settings["capture_steps"] == [0, 4, 7, 11]
    assert study("turbo", FULL).settings["capture_steps"] == [0, 1, 2, 3]
    assert study("one-step", FULL).places["base_last"] == "shapes, 12 steps: step 11"
    assert study("one-step", FULL).title == "shapes-turbo, 1 step"
