"""Pictures under changes of features, as a worker process makes them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import AutointerpError, UsageError
from autointerp.web.workers.child import ReportedProgress
from autointerp.web.workers.painting import encoded, paint, warm
from autointerp.web.workers.tasks import Workbench
from tests.web.sites import NAME

PROMPT = "large red solid circle center, sand background"


@pytest.fixture(scope="module")
def said() -> list[dict[str, Any]]:
    return []


@pytest.fixture(scope="module")
def bench(labeled: Path, said: list[dict[str, Any]]) -> Workbench:
    made = Workbench(labeled, ReportedProgress(said.append))
    assert warm(made, {}).files == {}
    return made


def asked(**changes: Any) -> dict[str, Any]:
    return {"prompt": PROMPT, "seed": 5, "steps": None, "mask": None, "pictures": [[]], **changes}


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"), int)


@pytest.fixture(scope="module")
def feature(labeled: Path, query: Callable[..., list[Any]]) -> str:
    ((index,),) = query(labeled, "SELECT latent_index FROM features WHERE state = 'live' ORDER BY density DESC LIMIT 1")
    return f"{NAME}:{index}"


def test_each_picture_has_changes_of_its_own_and_the_bar_counts_steps(
    bench: Workbench, said: list[dict[str, Any]], feature: str
) -> None:
    said.clear()
    made = paint(bench, asked(pictures=[[], [[feature, 30.0]], [[feature, 0.0]], [[feature, None]]]))
    assert made.value == {"size": [96, 96], "strengths": {}}
    assert list(made.files) == [f"{n}.webp" for n in range(4)]
    before, strong, none, without = map(pixels, made.files.values())
    assert np.abs(none - before).max() <= 1
    assert np.abs(strong - before).mean() > np.abs(none - before).mean()
    assert not np.array_equal(without, before)
    steps = bench.reading.generation.steps
    assert [(one["progress"]["done"], one["progress"]["total"]) for one in said if "progress" in one][-1] == (
        steps,
    ) * 2


def test_a_picture_without_changes_is_painted_once(bench: Workbench, said: list[dict[str, Any]]) -> None:
    first = paint(bench, asked(seed=77))
    said.clear()
    assert paint(bench, asked(seed=77)).files == first.files
    assert [one["progress"]["total"] for one in said if "progress" in one] == [0, 0]
    assert paint(bench, asked(seed=78)).files != first.files


def test_a_mask_and_steps_bound_the_change(bench: Workbench, feature: str) -> None:
    halves = {"rows": 2, "cols": 1, "cells": "10"}
    made = paint(bench, asked(seed=6, mask=halves, pictures=[[], [[feature, 30.0]]]))
    before, after = map(pixels, made.files.values())
    change = np.abs(after - before).mean((1, 2))
    assert change[:40].mean() > change[56:].mean()
    late = paint(bench, asked(seed=6, steps=[1, 2], pictures=[[[feature, 30.0]]]))
    whole = paint(bench, asked(seed=6, pictures=[[[feature, 30.0]]]))
    assert late.files != whole.files


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pictures": [[["no.such.thing:1", 4.0]]]}, "no dictionary"),
        ({"pictures": [[[f"{NAME}:99999", 4.0]]]}, "no feature"),
        ({"steps": [1, 9]}, "not among"),
        ({"mask": {"rows": 2, "cols": 2, "cells": "0000"}}, "no cell"),
        ({"mask": {"rows": 2, "cols": 2, "cells": "11"}}, "not the 2x2 cells"),
    ],
)
def test_what_cannot_be_is_one_line(bench: Workbench, feature: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        paint(bench, asked(**{"pictures": [[[feature, 4.0]]], **changes}))


def test_a_feature_that_never_fired_has_no_unit(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.web.workers import painting

    found = painting.steered_feature

    def silent(ctx: Any, name: str) -> Any:
        one = found(ctx, name)
        one.feature.mean_activation = 0.0
        return one

    monkeypatch.setattr(painting, "steered_feature", silent)
    with pytest.raises(AutointerpError, match="never fired"):
        paint(bench, asked(pictures=[[[f"{NAME}:0", 4.0]]]))


def hooks(bench: Workbench) -> int:
    """How many hooks the parts of the model have, and all modules together."""
    from torch.nn.modules import module

    parts = bench.reading.model.denoiser.modules()
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in parts) + len(
        module._global_forward_pre_hooks
    )


def test_a_stop_at_any_step_leaves_no_hook_and_the_next_picture_is_the_same(
    bench: Workbench, feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = asked(seed=123, pictures=[[[feature, 30.0]]])
    before, expected = hooks(bench), paint(bench, wanted).files
    assert hooks(bench) == before
    for moment in range(bench.reading.generation.steps + 2):
        reports: list[Any] = []

        def stop(value: dict[str, Any], reports: list[Any] = reports, moment: int = moment) -> None:
            reports.append(value)
            if len(reports) == moment + 1:
                bench.stops.interrupt()

        # The first report comes before the first step, and the last one when hooks are removed.
        monkeypatch.setattr(bench, "progress", ReportedProgress(stop))
        if moment:
            monkeypatch.setattr("autointerp.web.workers.child._EVERY", 0.0)
        with pytest.raises(KeyboardInterrupt):
            paint(bench, wanted)
        assert hooks(bench) == before
        monkeypatch.undo()
    assert paint(bench, wanted).files == expected


def test_a_strength_is_chosen_as_the_command_does(
    bench: Workbench, said: list[dict[str, Any]], feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.experiments.steering import SteeredFeature
    from autointerp.experiments.strengths import LADDER, ChosenStrength
    from autointerp.web.workers import painting

    given: list[Any] = []

    def chosen(ctx: Any, one: Any, dictionary: Any, region: Any, prompts: Any, seed: int) -> ChosenStrength:
        given.append((one.name, list(prompts), seed, region.steps))
        return ChosenStrength(2.0, {})

    monkeypatch.setattr(painting, "choose_strength", chosen)
    said.clear()
    made = paint(
        bench, asked(seed=9, steps=[0, 1], pictures=[[[feature, "auto"]], [[feature, 2.0]], [[feature, "auto"]]])
    )
    assert given == [(feature, [PROMPT], 9, (0, 1))]
    assert made.value["strengths"] == {feature: 2.0}
    assert made.files["0.webp"] == made.files["1.webp"] == made.files["2.webp"]
    assert said[0]["progress"]["what"] == "choosing the strength"
    monkeypatch.undo()
    # What counts is the finished picture: a feature of which next to nothing is enough needs the least strength.
    monkeypatch.setattr(SteeredFeature, "unit", 1e-6)
    assert paint(bench, asked(seed=9, pictures=[[[feature, "auto"]]])).value["strengths"] == {feature: LADDER[0]}


def test_cells_are_those_of_another_prompts_picture(bench: Workbench, said: list[dict[str, Any]]) -> None:
    other = "large blue solid square center, night background"
    halves = {"rows": 2, "cols": 1, "cells": "10"}
    like = {"like": other, "layer": "mid"}
    said.clear()
    made = paint(bench, asked(seed=6, mask=halves, pictures=[[], [like], [like]]))
    before, after, again = map(pixels, made.files.values())
    change = np.abs(after - before).mean((1, 2))
    assert change[:40].mean() > change[56:].mean()
    assert np.abs(again - after).max() <= 1
    painted = {one["progress"]["what"] for one in said if "progress" in one}
    assert painted == {"painting the other picture", "painting"}
    with pytest.raises(UsageError, match="nope"):
        paint(bench, asked(pictures=[[{"like": other, "layer": "nope"}]]))


def test_large_pictures_are_made_smaller_and_small_ones_keep_each_pixel() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    assert np.array_equal(pixels(encoded(Image.fromarray(noise))), noise)
    assert pixels(encoded(Image.new("RGB", (2048, 1024)))).shape == (512, 1024, 3)
