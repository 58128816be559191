"""The layers of the model in the order in which it runs them, with the dictionaries that read each."""

from __future__ import annotations

from dataclasses import dataclass

from autointerp.db import queries
from autointerp.diffusion.layers import list_layers
from autointerp.errors import AutointerpError
from autointerp.project.context import Context


@dataclass(frozen=True)
class LayerSpot:
    """A layer on the drawing of the model, with the names of the dictionaries that read it."""

    alias: str
    hookpoint: str
    width: int
    grid: tuple[int, int]
    dictionaries: tuple[str, ...]


def layer_spots(ctx: Context) -> list[LayerSpot]:
    """Return the layers with an alias, as the model runs them, and then further layers with a dictionary."""
    with ctx.db.session() as session:
        stored = {row.layer: row for row in queries.dictionaries.list_all(session)}
        names: dict[str, list[str]] = {}
        for row in queries.dictionaries.list_all(session):
            names.setdefault(row.layer, []).append(row.name)
        session.expunge_all()
    try:
        layers = list_layers(ctx.description, ctx.generation.size, stream=ctx.settings.stream)
    except AutointerpError:
        # A workspace is looked at on machines that lack its model.
        layers = []
    spots = [
        LayerSpot(layer.name, layer.hookpoint, layer.d_in, layer.grid, tuple(names.pop(layer.name, ())))
        for layer in layers
    ]
    for name, others in names.items():
        one = stored[name]
        spots.append(LayerSpot(name, one.hookpoint, one.d_in, (one.grid_rows, one.grid_cols), tuple(others)))
    return spots
