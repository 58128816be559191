"""What a person can steer: the model's steps and cells, a prompt to begin with, and a feature with its unit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.project.targets import find_feature
from autointerp.sizes import sides

MOST_CELLS = 64
"""Rows and columns of the finest grid that is brushed."""
_ANY_GRID = (16, 16)


@dataclass(frozen=True)
class SteerableModel:
    """What there is to choose.

    Attributes:
        steps: Number of denoising steps.
        seed: The workspace's seed.
        size: Width and height of a picture in pixels.
        grid: Rows and columns of the cells that are brushed: those of the finest layer with a dictionary, bounded.
        prompt: A prompt that the workspace has a picture of; empty where it has none.
        layers: The layers with a dictionary of image tokens, the finest grid first.
    """

    steps: int
    seed: int
    size: tuple[int, int]
    grid: tuple[int, int]
    prompt: str
    layers: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the values for a page."""
        return asdict(self)


@dataclass(frozen=True)
class SteerableFeature:
    """A feature to steer by.

    Attributes:
        feature: `DICTIONARY:INDEX`.
        name: The name of the label that counts; empty where there is none.
        layer: Its layer.
        stream: Whose tokens it reads: those of a text have no cells.
        unit: Its mean activation where it fires, the unit of strength; 0 where it never fired.
    """

    feature: str
    name: str
    layer: str
    stream: str
    unit: float

    def as_dict(self) -> dict[str, Any]:
        """Return the values for a page."""
        return asdict(self)


def read_steerable(ctx: Context) -> SteerableModel:
    """Read what there is to choose of the model, from its configuration files alone.

    Raises:
        AutointerpError: The model is not there.
    """
    with ctx.db.session() as session:
        read = [row for row in queries.dictionaries.list_all(session) if row.stream == "image"]
        prompt = queries.images.first_prompt(session)
    read.sort(key=lambda row: (-row.grid_rows, -row.grid_cols, row.id))
    rows, cols = (read[0].grid_rows, read[0].grid_cols) if read else _ANY_GRID
    return SteerableModel(
        steps=ctx.generation.steps,
        seed=ctx.settings.seed,
        size=sides(ctx.generation.size),
        grid=(min(rows, MOST_CELLS), min(cols, MOST_CELLS)),
        prompt=prompt,
        layers=tuple(dict.fromkeys(row.layer for row in read)),
    )


def read_steerable_feature(ctx: Context, name: str) -> SteerableFeature:
    """Read a feature to steer by.

    Raises:
        UsageError: There is no such feature.
    """
    row, feature = find_feature(ctx, name)
    with ctx.db.session() as session:
        best = queries.labels.best(session, row.id, feature_ids=[feature.id]).get(feature.id)
        named = "" if best is None or best.label.status != "ok" else best.label.name
    return SteerableFeature(f"{row.name}:{feature.latent_index}", named, row.layer, row.stream, feature.mean_activation)
