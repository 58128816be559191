"""`compare`: two dictionaries of layers of the same width, beside each other."""

from __future__ import annotations

from typing import Any

from autointerp.db import queries
from autointerp.db.models import Dictionary
from autointerp.errors import UsageError
from autointerp.stages.context import Context

SHOWN = 10
"""Pairs that are named."""


def run_compare(ctx: Context, one: str, other: str) -> dict[str, Any]:
    """Shared sources of atoms, and latents of the two that match, as `compare --json` prints it.

    `pairs` are the latents that are each other's nearest, nearest first.

    Raises:
        UsageError: One is not there, or their layers differ in width.
    """
    from autointerp.dictionaries.compare import jaccard, match_directions
    from autointerp.dictionaries.itda import ITDA
    from autointerp.dictionaries.storage import load_dictionary

    rows = [ctx.dictionary_named(name) for name in (one, other)]
    if rows[0].d_in != rows[1].d_in:
        raise UsageError(
            f"{one} reads {rows[0].d_in} dimensions and {other} {rows[1].d_in}",
            "compare dictionaries of layers of one width",
        )
    a, b = (load_dictionary(ctx.workspace.dictionary_dir(row.name)) for row in rows)
    there, back = match_directions(a.directions, b.directions)
    mutual = [i for i, j in enumerate(there.index.tolist()) if int(back.index[j]) == i]
    mutual.sort(key=lambda i: -float(there.cosine[i]))
    names = [_names(ctx, row) for row in rows]
    sources = [d.sources.all() for d in (a, b) if isinstance(d, ITDA) and d.sources is not None]
    return {
        "dictionaries": [one, other],
        "features": [a.num_latents, b.num_latents],
        "jaccard": jaccard(*sources) if len(sources) == 2 else None,
        "mean_cosine": [there.mean, back.mean],
        "above_0.9": [there.share(0.9), back.share(0.9)],
        "mutual": len(mutual),
        "pairs": [
            {
                "features": [f"{one}:{i}", f"{other}:{int(there.index[i])}"],
                "cosine": float(there.cosine[i]),
                "names": [names[0].get(i), names[1].get(int(there.index[i]))],
            }
            for i in mutual[:SHOWN]
        ],
    }


def _names(ctx: Context, row: Dictionary) -> dict[int, str]:
    """Latent -> name, of those that are labeled."""
    with ctx.db.session() as session:
        latent = {f.id: f.latent_index for f in queries.features(session, row.id)}
        return {latent[i]: best.label.name for i, best in queries.best_labels(session, row.id).items()}
