"""The module of a layer that a kind of dictionary reads: the layer's own, or its MLP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autointerp.dictionaries.kinds import KINDS
from autointerp.diffusion.layers import Layer, mlp_of, neurons_of

if TYPE_CHECKING:
    from autointerp.diffusion.description import ModelDescription


def inside(description: ModelDescription, layer: Layer, kind: str) -> Layer:
    """Return what a dictionary of a kind reads of a layer, as a layer of the same name.

    Raises:
        UsageError: The kind reads the layer's MLP, and none is known.
    """
    if kind in KINDS and KINDS[kind].of_hidden_units:
        return neurons_of(description, layer)
    return mlp_of(description, layer) if kind in KINDS and KINDS[kind].transcodes else layer
