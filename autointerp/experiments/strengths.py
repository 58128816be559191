"""The strength of a feature chosen by itself: the smallest after which the feature is in the picture.

Whether the feature is there is read off the finished picture, as if it came from a file: the picture is encoded and
noised to the steps that are harvested, and the dictionary encodes what the model makes of it, without any edit. An
activation that the edit itself adds does not count.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.capture import LayerActivations
    from autointerp.diffusion.edits import ReadFeature
    from autointerp.experiments.regions import EditRegion
    from autointerp.experiments.steering import SteeredFeature
    from autointerp.project.context import Context

LADDER = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""The strengths that are tried, all in one batch."""


@dataclass(frozen=True)
class ChosenStrength:
    """A strength that was chosen.

    Attributes:
        strength: The smallest of `LADDER` that is reached for every prompt.
        activations: The least activation of the feature in the pictures of each strength, over the prompts.
    """

    strength: float
    activations: dict[float, float]


def choose_strength(
    ctx: Context,
    one: SteeredFeature,
    dictionary: Dictionary,
    region: EditRegion,
    prompts: Sequence[str],
    seed: int,
) -> ChosenStrength:
    """Find the smallest strength at which the feature fires in the result as it does where it fires of itself.

    It is reached where the feature's strongest activation among the edited cells of the finished picture is at least
    its mean activation where it fires.

    Raises:
        AutointerpError: No strength reaches it, or the feature never fired.
    """
    from autointerp.experiments.steering import SteerColumn, changes_of, edit_of, steered

    changes = changes_of(dictionary, one.feature, LADDER, ablate=False)
    columns = [SteerColumn(caption, [edit_of(one.layer, change, region)]) for caption, change in changes]
    reached: dict[float, float] = {}
    for strength, pictures in zip(LADDER, steered(ctx, columns, prompts, seed), strict=True):
        reached[strength] = float(
            activation_in(ctx, one, dictionary, region, list(zip(prompts, pictures, strict=True)), seed).min()
        )
    for strength, activation in reached.items():
        if activation >= one.unit:
            return ChosenStrength(strength, reached)
    best = max(reached, key=lambda strength: reached[strength])
    raise AutointerpError(
        f"no strength up to {LADDER[-1]:g} brings {one.name} into every picture: at {best:g} it reaches "
        f"{reached[best] / one.unit:.0%} of its mean activation",
        "give a strength, a larger box, or another feature",
    )


def activation_in(
    ctx: Context,
    one: SteeredFeature,
    dictionary: Dictionary,
    region: EditRegion,
    pictures: Sequence[tuple[str, Image.Image]],
    seed: int,
) -> torch.Tensor:
    """Return a feature's strongest activation in the cells of a region of finished pictures, float32 [pictures].

    Each picture comes with the prompt that it was generated from, which the model reads again.
    """
    import torch

    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.edits import put_cells
    from autointerp.diffusion.generation import generate
    from autointerp.diffusion.jobs import ImageJob, RealPicture
    from autointerp.experiments.steering import edit_of, read_latent

    tokens = edit_of(one.layer, put_cells({}), region).tokens()
    read = read_latent(dictionary, one.feature.latent_index)
    most = torch.zeros(len(pictures))

    def keep(captured: LayerActivations) -> None:
        for job, value in zip(captured.jobs, strongest(captured, read, tokens), strict=True):
            most[job.index] = torch.maximum(most[job.index], value)

    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for i, (prompt, picture) in enumerate(pictures):
            file = Path(folder) / f"{i}.png"
            picture.save(file)
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            jobs.append(ImageJob(i, prompt, seed, picture=RealPicture(file, content)))
        capture = Capture([one.layer], ctx.capture_steps, keep)
        for _ in generate(ctx.model, jobs, ctx.generation, capture, ctx.settings.batch_size, decode=False):
            pass
    return most


def strongest(captured: LayerActivations, read: ReadFeature, tokens: torch.Tensor | None) -> torch.Tensor:
    """Return a feature's strongest activation among some tokens of each image, float32 [images].

    Args:
        captured: What was captured; of a text, tokens that do not count are left out.
        read: Computes the feature's activation.
        tokens: The tokens, int64 [n]; None for all.
    """
    where = slice(None) if tokens is None else tokens.to(captured.acts.device)
    acts = captured.acts[:, where]
    found = read(acts.reshape(-1, acts.shape[-1]), captured.step).reshape(acts.shape[:2])
    if captured.mask is not None:
        found = found.masked_fill(~captured.mask[:, where], 0)
    return found.amax(1).float().cpu()
