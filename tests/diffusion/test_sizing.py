"""Pipelines that scale each size to that of their default."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from autointerp.diffusion.sizing import exact_size


def model_of(kind: str) -> Any:
    pipeline = SimpleNamespace(default_sample_size=128, vae_scale_factor=8)
    return SimpleNamespace(family=SimpleNamespace(pipeline_class=kind), pipeline=pipeline)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 64), (1024, 1024), (1360, 768)])
def test_the_size_of_the_run_is_that_of_the_area_inside(width: int, height: int) -> None:
    model = model_of("HiDreamImagePipeline")
    with exact_size(model, width, height):
        area = (model.pipeline.default_sample_size * model.pipeline.vae_scale_factor) ** 2
        scale = (area / (width * height)) ** 0.5
        assert (int(width * scale // 16 * 16), int(height * scale // 16 * 16)) == (width, height)
    assert model.pipeline.default_sample_size == 128


def test_other_pipelines_are_left_alone() -> None:
    model = model_of("OtherPipeline")
    with exact_size(model, 64, 64):
        assert model.pipeline.default_sample_size == 128
