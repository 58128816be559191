"""Crops of features as pictures, with the cells outlined in which a feature is active."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autointerp.crops.geometry import crop_box
from autointerp.crops.render import decode_picture, render_crop
from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Feature
from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.targets import find_feature

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.jobs import ImageJob
    from autointerp.labeling.protocol import CropEvidence


def render(crop: CropEvidence, side: int = 224) -> Image.Image:
    """Render a stored crop with its context and outline the cells in which the feature is active.

    The longer side has `side` pixels. A crop of a text token is the whole picture without an outline, because a text
    token has no place in it.
    """
    has_place = crop.grid != (1, 1)
    return render_crop(crop.picture, crop.box, crop.activation_map, crop.cell, has_place, side, crop.grid)


def write_crops(ctx: Context, name: str, folder: Path) -> int:
    """Write a feature's crops, and the place of its atom, as PNG files; return how many were written.

    Raises:
        UsageError: There is no such feature.
        AutointerpError: The folder cannot be written to.
    """
    row, feature = find_feature(ctx, name)
    crops = EvidenceReader(ctx.db, row).crops([feature.id])[feature.id]
    pictures = {f"{number:03}-{crop.role}": render(crop) for number, crop in enumerate(crops)}
    if feature.atom_prompt is not None:
        pictures["atom"] = render_atom(ctx, row, feature)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, picture in pictures.items():
            picture.save(folder / f"{feature.latent_index}-{ending}.png")
    except OSError as error:
        raise AutointerpError(f"cannot write to {folder}: {error.strerror or error}", "name another folder") from None
    return len(pictures)


def render_atom(ctx: Context, row: DictionaryRow, feature: Feature, side: int = 224) -> Image.Image:
    """Render the image that an atom was taken from, cropped around the atom's cell, which is outlined.

    Raises:
        ValueError: The feature has no atom.
    """
    from autointerp.diffusion.layers import grid_at

    prompt, seed, at_row, at_col = feature.atom_prompt, feature.atom_seed, feature.atom_row, feature.atom_col
    if prompt is None or seed is None or at_row is None or at_col is None:
        raise ValueError(f"feature {feature.latent_index} has no atom")
    job = _job_of_atom(ctx, row, prompt, seed)
    picture = _picture_of(ctx, job)
    if row.stream == "text":
        return render_crop(picture, (0, 0, *picture.size), side=side)
    grid = grid_at(ctx.description, ctx.layer_of(row), ctx.generation.of(job).size)
    only_cell = np.zeros(grid, np.float32)
    only_cell[at_row, at_col] = 1
    box = crop_box((at_row, at_col), grid, picture.size)
    return render_crop(picture, box, only_cell, (at_row, at_col), side=side, grid=grid)


def _job_of_atom(ctx: Context, row: DictionaryRow, prompt: str, seed: int) -> ImageJob:
    """Find the job among those of the fit: a job may have a size of its own, or be a real picture."""
    from autointerp.diffusion.jobs import ImageJob

    jobs = (job for job in ctx.jobs(0, row.images or 0) if (job.prompt, job.seed) == (prompt, seed))
    return next(jobs, ImageJob(0, prompt, seed))


def _picture_of(ctx: Context, job: ImageJob) -> Image.Image:
    """Return the stored picture of a job; generate it where none is stored."""
    from autointerp.diffusion.generation import generate
    from autointerp.diffusion.jobs import generation_hash

    wanted = generation_hash(ctx.description.name, ctx.description.revision, job, ctx.generation)
    with ctx.db.session() as session:
        stored = queries.images.picture(session, wanted)
    if stored is not None:
        return decode_picture(stored)
    _, (picture,) = next(generate(ctx.model, [job], ctx.generation))
    return picture
