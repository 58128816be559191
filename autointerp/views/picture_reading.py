"""A picture read for a page: its strongest features with their maps at every step, and the maps of its words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.crops.render import MARKED
from autointerp.diffusion.word_maps import normalized
from autointerp.errors import AutointerpError, UsageError
from autointerp.export.gallery import visible
from autointerp.project.context import Context
from autointerp.views.explain import (
    ExplainRequest,
    by_strength,
    nameable_features,
    prompt_job,
    real_picture_job,
    run_picture,
)
from autointerp.views.explained import ActiveFeature

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.jobs import ImageJob
    from autointerp.views.explained_words import ExplainedWord

MOST_FEATURES = 200
"""Features that a page shows of a picture, at most."""
_LOOKS = 12
"""Steps at which features have maps, besides those that their dictionaries were fitted on."""
MapLine = tuple[list[int], list[int]]
"""The cells of a map that are above 0, and the share of the largest value in each, out of 255."""


@dataclass(frozen=True)
class ReadFeatureMaps:
    """A feature that is active in a picture, with its map at each step.

    Attributes:
        active: Where and how strongly it is active at most.
        dictionary: The number of its dictionary among those of the reading.
        maps: By 0-based step, float32 [rows, cols]. Of a generated picture also steps that the dictionary was not
            fitted on, to see how a feature comes about.
    """

    active: ActiveFeature
    dictionary: int
    maps: dict[int, np.ndarray]

    def as_dict(self) -> dict[str, Any]:
        """Return the feature as a page takes it; its maps are shares of its activation, at most 1."""
        found = self.active.as_dict()
        texts = {key: visible(found[key]) for key in ("name", "explanation")}
        peak = float(self.active.activation_map.max())
        lines = {str(step): map_line(one / peak) for step, one in self.maps.items()}
        return {**found, **texts, "dictionary": self.dictionary, "maps": lines}


@dataclass(frozen=True)
class PictureReading:
    """A picture with what is active in it.

    Attributes:
        picture: The whole picture, RGB.
        seed: Seed of the noise.
        dictionaries: Name, layer, grid of each dictionary that was read, the steps that it reads (`fitted`), and those
            with maps (`steps`).
        features: The strongest features of all of them, the strongest first.
        words: The words of the prompt with their maps; empty where there are none.
        note: Why there are no words, where there are none.
    """

    picture: Image.Image
    seed: int
    dictionaries: tuple[dict[str, Any], ...]
    features: tuple[ReadFeatureMaps, ...]
    words: tuple[ExplainedWord, ...]
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the values for a page."""
        heats = normalized(np.stack([one.map for one in self.words])) if self.words else np.zeros((0, 1, 1))
        # An even share of the attention is no sign of a place, so the least of each map stays dark.
        heats = np.where(heats < MARKED, 0, heats)
        return {
            "size": list(self.picture.size),
            "seed": self.seed,
            "dictionaries": list(self.dictionaries),
            "features": [one.as_dict() for one in self.features],
            "words": [
                {"word": visible(one.word), "start": one.start, "grid": list(one.map.shape), "map": map_line(heat)}
                for one, heat in zip(self.words, heats, strict=True)
            ],
            "note": self.note,
        }


def read_prompt_picture(ctx: Context, prompt: str, seed: int) -> PictureReading:
    """Generate the picture of a prompt and read it. A prompt is never taken for the name of a file.

    Raises:
        UsageError: The prompt is empty.
        AutointerpError: There is no dictionary of image tokens.
    """
    return _read(ctx, prompt_job(prompt, seed))


def read_picture_file(ctx: Context, path: Path, seed: int) -> PictureReading:
    """Read a picture in a file.

    Raises:
        AutointerpError: The picture cannot be read, or there is no dictionary of image tokens.
    """
    return _read(ctx, real_picture_job(ctx, path, seed, ctx.settings.invert))


def map_line(shares: np.ndarray) -> MapLine:
    """Return a map of shares, float [rows, cols], as a page takes it; what is above 1 counts as 1."""
    flat = np.round(255 * shares.reshape(-1).clip(0, 1)).astype(int)
    cells = np.flatnonzero(flat > 0)
    return cells.tolist(), flat[cells].tolist()


def _read(ctx: Context, job: ImageJob) -> PictureReading:
    nameable = nameable_features(ctx, ExplainRequest("", unnamed=True))
    if not nameable:
        raise AutointerpError("no dictionary of image tokens is here", "run `autointerp label --layer mid`")
    steps = ctx.generation.steps
    # Little of a real picture is left at the steps that are not read of it.
    looks = () if job.picture else sorted({i * steps // min(steps, _LOOKS) for i in range(min(steps, _LOOKS))})
    try:
        run, note = run_picture(ctx, job, nameable, bool(job.prompt), looks), ""
    except UsageError as error:
        # Pictures of a family whose attention to words is not known have features all the same.
        run, note = run_picture(ctx, job, nameable, False, looks), error.message
    found = [
        (one, number)
        for number, activity in enumerate(run.activities)
        for one in activity.active_features(run.picture.size, MOST_FEATURES)
    ]
    strongest = sorted(found, key=lambda pair: by_strength(pair[0]))[:MOST_FEATURES]
    return PictureReading(
        run.picture,
        job.seed,
        tuple(
            {
                "name": one.row.name,
                "layer": one.row.layer,
                "grid": list(one.grid),
                "fitted": list(one.steps),
                "steps": one.seen,
            }
            for one in run.activities
        ),
        tuple(
            ReadFeatureMaps(one, number, run.activities[number].maps(int(one.feature.rpartition(":")[2])))
            for one, number in strongest
        ),
        run.words or (),
        note,
    )
