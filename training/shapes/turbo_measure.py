"""How well `shapes-turbo` paints captions, with intervals: shares of what the oracle reads right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxPipeline

from autointerp.labeling.judging.intervals import wilson
from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import Scene
from training.shapes.measure import Sampling, follows, generate, held_out_scenes
from training.shapes.turbo_pairs import CHECKS, noise_seed, turbo_scene


@dataclass(frozen=True)
class Share:
    """`right` of `asked`."""

    right: int
    asked: int

    def __str__(self) -> str:
        low, high = wilson(self.right, self.asked)
        share = self.right / self.asked if self.asked else float("nan")
        return f"{100 * share:6.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {self.asked:,}"


def load_turbo(model: Path, turbo: Path) -> Any:
    """A `FluxPipeline` in float32: transformer and scheduler from the folder `turbo`, all else from that of shapes."""
    shapes = FluxPipeline.from_pretrained(model, transformer=None, torch_dtype=torch.float32)
    names = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "vae")
    shared = {name: shapes.components[name] for name in names}
    return FluxPipeline.from_pretrained(turbo, **shared, torch_dtype=torch.float32)


def shares(oracle: Oracle, pictures: np.ndarray, scenes: Sequence[Scene]) -> dict[str, Share]:
    """What pictures [n, 96, 96, 3] show of the captions of scenes, by figure; see `measure.follows`."""
    read = oracle.read(pictures)
    every = [follows({name: value[i] for name, value in read.items()}, scene) for i, scene in enumerate(scenes)]
    found = {name: [ok for one in every for ok in one[name]] for name in every[0]}
    found["whole caption"] = [all(ok for oks in one.values() for ok in oks) for one in every]
    return {name: Share(sum(oks), len(oks)) for name, oks in found.items()}


def turbo_figures(
    weights: Path, folder: Path, oracle: Oracle, count: int, steps: int, training: bool = False
) -> dict[str, Share]:
    """What the turbo in `folder` paints of `count` held-out captions in `steps` steps without guidance.

    The captions and the noise are those that `measure` shows `shapes`. With `training` they are of a stream of
    captions that trainers may see and that no pair was made of: to choose settings by.
    """
    scenes = [turbo_scene(CHECKS, 0, n) for n in range(count)] if training else held_out_scenes(count)
    first = noise_seed(CHECKS, 0, 0) if training else 0
    pipeline = load_turbo(weights / "model", folder)
    return shares(
        oracle, generate(pipeline, [s.caption for s in scenes], Sampling(steps, 1.0, first_seed=first)), scenes
    )
