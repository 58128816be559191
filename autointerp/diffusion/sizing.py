"""Let pipelines paint the size that they are asked for, which scale each size to the area of their default size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autointerp.diffusion.families.classes import SCALING

if TYPE_CHECKING:
    from autointerp.diffusion.model import Model


@contextmanager
def exact_size(model: Model, width: int, height: int) -> Iterator[None]:
    """Call the size of the run inside the default size of the pipeline, where it scales to that.

    Args:
        model: The model that runs.
        width: The picture's width in pixels.
        height: Its height.
    """
    if model.family.pipeline_class not in SCALING:
        yield
        return
    pipeline = model.pipeline
    own = pipeline.default_sample_size
    # The pipeline rounds down, so the area may not be a hair too small.
    pipeline.default_sample_size = math.sqrt(width * height) / pipeline.vae_scale_factor * (1 + 1e-9)
    try:
        yield
    finally:
        pipeline.default_sample_size = own
