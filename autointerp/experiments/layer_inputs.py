"""What readouts of a layer get: its activations, its dictionary's codes, and codes along random directions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from autointerp.db import queries
from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.subjects import NamedFeature, check_rebuilds_layer, loaded, named_features, random_control
from autointerp.project.targets import Target, find_dictionary

if TYPE_CHECKING:
    import torch

    from autointerp.db.models import DictionaryRow
    from autointerp.dictionaries.protocol import Dictionary, SparseCode
    from autointerp.diffusion.layers import Layer
    from autointerp.project.context import Context

MOST_LATENTS = 1024
"""Latents that a readout gets, at most: the densest. A matrix of all pairs of more would not fit."""


@dataclass
class LayerInputs:
    """A layer with its dictionary.

    Attributes:
        ctx: The context of the workspace.
        layer: The layer, resolved for the pictures that are read.
        row: The dictionary.
    """

    ctx: Context
    layer: Layer
    row: DictionaryRow
    control: Dictionary | None = None

    @cached_property
    def dictionary(self) -> Dictionary:
        """The dictionary, loaded."""
        return loaded(self.ctx, self.row, self.ctx.model.device)

    @cached_property
    def latents(self) -> np.ndarray:
        """The latents that readouts get, int64, in their order."""
        if self.row.num_latents <= MOST_LATENTS:
            return np.arange(self.row.num_latents)
        with self.ctx.db.session() as session:
            densities = queries.features.densities(session, self.row.id)
        numbers = sorted(range(self.row.num_latents), key=lambda latent: (-densities.get(latent, 0.0), latent))
        return np.sort(np.array(numbers[:MOST_LATENTS]))

    @cached_property
    def named(self) -> list[NamedFeature]:
        """The features that have a name."""
        return named_features(self.ctx, self.row)

    def set_control(self, acts: torch.Tensor, seed: int) -> None:
        """Draw the random directions, on the scale of activations [n, d_in]."""
        control = random_control(acts.cpu(), self.row, self.row.l0 or 1.0, seed)
        self.control = control.to(self.ctx.model.device)

    def codes(self, acts: torch.Tensor, step: int) -> torch.Tensor:
        """Return the codes of activations [n, d_in] at `latents`, float32 [n, len(latents)]."""
        return columns(self.dictionary.encode(acts, step), self.latents, self.row.num_latents)

    def random_codes(self, acts: torch.Tensor, step: int) -> torch.Tensor:
        """Return codes along the random directions, float32 [n, len(latents)]."""
        assert self.control is not None
        return columns(self.control.encode(acts, step), self.latents, self.row.num_latents)

    def maps(self, acts: torch.Tensor, step: int, concepts: Sequence[str], shuffled: bool = False) -> torch.Tensor:
        """Return the maps of concepts that labels alone give, float32 [n, concepts].

        A map is the strongest activation among the features whose name says the concept, each as a share of its own
        maximum. A concept that no name says is 0 everywhere.

        Args:
            acts: Activations [n, d_in].
            step: Their step.
            concepts: Words.
            shuffled: Give the names to other features, as a control.
        """
        import torch

        latents = [one.latent for one in self.named]
        shares = columns(self.dictionary.encode(acts, step), np.array(latents, np.int64), self.row.num_latents)
        peaks = torch.tensor([max(one.threshold, 1e-12) for one in self.named], device=shares.device)
        from autointerp.crops.records import ACTIVE_SHARE

        shares = shares / peaks * ACTIVE_SHARE
        found = torch.zeros(len(acts), len(concepts), device=shares.device)
        for number, those in enumerate(self._saying(tuple(concepts), shuffled)):
            if len(those):
                found[:, number] = shares[:, torch.from_numpy(those).to(shares.device)].amax(1)
        return found

    def _saying(self, concepts: tuple[str, ...], shuffled: bool) -> list[np.ndarray]:
        """Return the places among `named` of the features whose name says each concept."""
        names = [one.name for one in self.named]
        if shuffled:
            order = np.random.default_rng(self.ctx.settings.seed).permutation(len(names))
            names = [names[place] for place in order]
        return [np.flatnonzero([says(name, concept) for name in names]) for concept in concepts]


def says(name: str, concept: str) -> bool:
    """Return whether a label's name says a word; `objects` says `object`.

    >>> says("edge of objects", "object"), says("reddish", "red"), says("not red", "red")
    (True, False, False)
    """
    return re.search(rf"(?<!not )(?<!non-)\b{re.escape(concept)}s?\b", name) is not None


def columns(code: SparseCode, latents: np.ndarray, num_latents: int) -> torch.Tensor:
    """Return some latents' activations as a matrix, float32 [n, len(latents)]."""
    import torch

    place = torch.full((num_latents,), len(latents), dtype=torch.int64)
    place[torch.from_numpy(np.asarray(latents, np.int64))] = torch.arange(len(latents))
    at = place.to(code.latent_indices.device)[code.latent_indices]
    # Latents that are not asked for, and unused slots, are added in a last column, which is cut off.
    dense = torch.zeros(len(at), len(latents) + 1, device=at.device)
    dense.scatter_add_(1, at, code.latent_acts.float())
    return dense[:, :-1]


def layers_with_dictionaries(ctx: Context, at: Context, layers: Sequence[str]) -> list[LayerInputs]:
    """Return the layers that an experiment reads, each with the newest dictionary of the workspace.

    Args:
        ctx: The workspace's context.
        at: The context of the model that is read.
        layers: Names; all aliases with a dictionary if empty.

    Raises:
        UsageError: A layer does not exist, or has another width than its dictionary.
        AutointerpError: A layer has no dictionary yet, or no layer has one.
    """
    named = list(dict.fromkeys(layers)) or [
        alias for alias in ctx.description.aliases if ctx.dictionary_of(alias) is not None
    ]
    if not named:
        raise AutointerpError("no layer has a dictionary here", "run `autointerp fit --layer mid` first")
    rows = [find_dictionary(ctx, Target(name, ctx.settings.dictionary.names.get(name)), "fit") for name in named]
    for row in rows:
        if row.stream != "image":
            raise UsageError(f"{row.name} reads text tokens", "name a dictionary of image tokens in autointerp.toml")
        check_rebuilds_layer(row)
    return [LayerInputs(at, at.layer_of(row), row) for row in rows]


def configured(inputs: Sequence[LayerInputs]) -> Mapping[str, str]:
    """Return the weights' hash of each layer's dictionary, by the layer's name: a part of an identity."""
    return {one.layer.name: one.row.weights_sha256 for one in inputs}
