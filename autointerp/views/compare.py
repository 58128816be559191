"""The comparison of two dictionaries whose layers have the same width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.errors import UsageError
from autointerp.progress import note_before_torch
from autointerp.project.context import Context

if TYPE_CHECKING:
    from autointerp.db import Session
    from autointerp.dictionaries.protocol import Dictionary

_PAIRS = 10
"""Pairs that are named."""
_CLOSE = 0.9
"""Cosine above which two directions count as a match."""


@dataclass(frozen=True)
class MatchedPair:
    """A feature of each dictionary that are each other's nearest; a name is None where the feature has no label."""

    features: tuple[str, str]
    cosine: float
    names: tuple[str | None, str | None]

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `pairs` in `compare --json`."""
        return {"features": list(self.features), "cosine": self.cosine, "names": list(self.names)}


@dataclass(frozen=True)
class Comparison:
    """Two dictionaries beside each other. Pairs of values are in the order of `dictionaries`.

    Attributes:
        dictionaries: Names of the two.
        features: Number of latents.
        jaccard: Jaccard index of the sources of their atoms; None unless both are of kind ITDA with known sources.
        mean_cosine: Mean over latents of the cosine with the nearest latent of the other dictionary.
        above: Share of latents whose nearest has a cosine above 0.9.
        mutual: Latents that are each other's nearest.
        pairs: A few of those, the nearest first.
    """

    dictionaries: tuple[str, str]
    features: tuple[int, int]
    jaccard: float | None
    mean_cosine: tuple[float, float]
    above: tuple[float, float]
    mutual: int
    pairs: tuple[MatchedPair, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the stable keys of `compare --json`."""
        return {
            "dictionaries": list(self.dictionaries),
            "features": list(self.features),
            "jaccard": self.jaccard,
            "mean_cosine": list(self.mean_cosine),
            "above_0.9": list(self.above),
            "mutual": self.mutual,
            "pairs": [pair.as_dict() for pair in self.pairs],
        }


def compare_dictionaries(ctx: Context, one: str, other: str) -> Comparison:
    """Compare two dictionaries by the directions of their latents and by the sources of their atoms.

    Raises:
        UsageError: One of them does not exist, or their layers differ in width.
    """
    rows = [ctx.dictionary_named(name) for name in (one, other)]
    if rows[0].d_in != rows[1].d_in:
        raise UsageError(
            f"{one} reads {rows[0].d_in} dimensions and {other} {rows[1].d_in}",
            "compare dictionaries of layers of one width",
        )
    note_before_torch(ctx.progress, f"reading {one} and {other}")
    from autointerp.dictionaries.compare import match_directions
    from autointerp.dictionaries.storage import load_dictionary

    a, b = (load_dictionary(ctx.workspace.dictionary_dir(row.name), row.weights_sha256) for row in rows)
    there, back = match_directions(a.directions, b.directions)
    nearest = there.index.tolist()
    mutual = [i for i, j in enumerate(nearest) if int(back.index[j]) == i]
    mutual.sort(key=lambda i: -float(there.cosine[i]))
    with ctx.db.session() as session:
        names, other_names = (feature_names(session, row.id) for row in rows)
    return Comparison(
        dictionaries=(one, other),
        features=(a.num_latents, b.num_latents),
        jaccard=_shared_sources(a, b),
        mean_cosine=(there.mean, back.mean),
        above=(there.share(_CLOSE), back.share(_CLOSE)),
        mutual=len(mutual),
        pairs=tuple(
            MatchedPair(
                features=(f"{one}:{i}", f"{other}:{nearest[i]}"),
                cosine=float(there.cosine[i]),
                names=(names.get(i), other_names.get(nearest[i])),
            )
            for i in mutual[:_PAIRS]
        ),
    )


def _shared_sources(a: Dictionary, b: Dictionary) -> float | None:
    """Return the Jaccard index of the sources of two dictionaries' atoms; None where one has no known sources."""
    from autointerp.dictionaries.atoms import AtomDictionary
    from autointerp.dictionaries.compare import jaccard

    known = [one.sources for one in (a, b) if isinstance(one, AtomDictionary) and one.sources is not None]
    return jaccard(known[0].all(), known[1].all()) if len(known) == 2 else None


def feature_names(session: Session, dictionary_id: int) -> dict[int, str]:
    """Return the names of a dictionary's labeled features, by latent; a label without a name is left out."""
    of_id = {feature_id: latent for latent, feature_id in queries.features.ids_by_index(session, dictionary_id).items()}
    best = queries.labels.best(session, dictionary_id)
    return {of_id[feature_id]: one.label.name for feature_id, one in best.items() if one.label.name}
