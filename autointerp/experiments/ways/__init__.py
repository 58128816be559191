"""The ways of editing a picture inside a region: a row and a class each.

All ways get the same: a recording of the picture, one of the picture that it is to become like, and the region. A way
that uses features chooses them by contrast inside the region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autointerp.experiments.ways.pair import WayMaker
from autointerp.registry import Kind, Registry

Basis = Literal["", "sae", "itda"]
"""The kind of dictionary that a way needs; empty for none. `sae` is any kind that is trained by gradient descent."""


@dataclass(frozen=True)
class WayKind(Kind[WayMaker]):
    """A way of editing; `path` names its class.

    Attributes:
        basis: The kind of dictionary that it needs.
        sparse: Whether it changes a number of features or units.
        strengths: The factors that are tried, of which the best is chosen.
    """

    basis: Basis = ""
    sparse: bool = False
    strengths: tuple[float, ...] = (1.0,)


_WAYS = "autointerp.experiments.ways"
_TRIED = (1.0, 2.0, 3.0)

WAYS: Registry[WayKind] = Registry(
    "way of editing",
    [
        WayKind(
            "sae",
            "activations of an SAE's features, cell by cell",
            f"{_WAYS}.features:CellFeatures",
            "sae",
            True,
            _TRIED,
        ),
        WayKind(
            "sae-mean", "mean activations of an SAE's features", f"{_WAYS}.features:MeanFeatures", "sae", True, _TRIED
        ),
        WayKind("sae-set", "features set, as steps come", f"{_WAYS}.features:SetFeatures", "sae", True, _TRIED),
        WayKind("itda", "ITDA's atoms, cell by cell", f"{_WAYS}.features:CellFeatures", "itda", True, _TRIED),
        WayKind("neurons", "hidden units, cell by cell", f"{_WAYS}.neurons:CellNeurons", "", True, _TRIED),
        WayKind("means", "difference of mean activations", f"{_WAYS}.means:DifferenceOfMeans", "", False, _TRIED),
        WayKind("patch", "the other picture's activations in place of the cells' own", f"{_WAYS}.patch:Patch"),
    ],
)
"""Every way of editing."""
