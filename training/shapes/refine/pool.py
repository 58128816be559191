"""The pictures of the second training of shapes-vlm: renders, and pictures of both diffusion models."""

from __future__ import annotations

from pathlib import Path

from autointerp.progress import Progress
from autointerp.shapes.oracle import Oracle
from training.shapes.vlm_pool import Pool, joined, rendered_pool
from training.shapes.wide.pool import Model, generated_pictures

STREAM = 7
"""Seeds of renders are above those of the first training, whose pictures have been learned."""


def refining_pool(
    folder: Path,
    weights: Path,
    renders: int,
    painted: dict[Model, int],
    seed: int = 0,
    held_out: bool = False,
    progress: Progress | None = None,
) -> Pool:
    """Renders with their exact truth, and pictures of diffusion models as the oracle reads them.

    Args:
        folder: Where generated pictures are kept.
        weights: The shipped weights.
        renders: How many renders.
        painted: How many pictures of each model.
        seed: Of scenes and noise.
        held_out: Of captions that no trainer sees.
        progress: Where painting reports to.
    """
    pools = [rendered_pool(renders, seed + STREAM, held_out)] if renders else []
    oracle = Oracle.load(weights / "oracle")
    for model, count in painted.items():
        for pictures, _ in generated_pictures(folder, weights, model, count, seed, held_out, progress):
            pools.append(Pool.of(pictures, oracle.read(pictures)))
    return joined(pools)
