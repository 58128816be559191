"""The seam `Trainer`: a fit on activations that arrive in rounds.

A round is the shuffle buffer: the activations that memory holds at a time. They are shuffled, trained on and let go.
The end of a round is a checkpoint. The trainer's state, without any activations, leads to the same dictionary as a fit
that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import torch

from autointerp.dictionaries.kinds import FITTED
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.rounds import Round


@dataclass(frozen=True)
class FitConfig:
    """What is fitted, and on how much.

    Attributes:
        kind: A kind of `kinds.FITTED`.
        num_latents: Latents of the dictionary; the cap of an ITDA.
        k: Latents that fire in a token.
        tokens: Activations that will come in all.
        rounds: Rounds that they will come in.
        steps: Denoising steps that they are from.
        seed: Seed of the fit.
        options: Settings of the kind, by the names of `DictionaryKind.options`; those left out have their defaults.
    """

    kind: str
    num_latents: int
    k: int
    tokens: int
    rounds: int
    steps: tuple[int, ...]
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def normalize(self) -> str:
        """What is done to activations first; see `Normalization.measure`."""
        return str(self.options.get("normalize", "standard"))


class Trainer(Protocol):
    """A fit under way."""

    @property
    def rounds_wanted(self) -> int | None:
        """Number of rounds that suffice; None for all."""
        ...

    def train_round(self, given: Round) -> str:
        """Train on a round, and return a note for the progress bar."""
        ...

    def dictionary(self) -> Dictionary:
        """Return the dictionary so far, with the normalisation folded in."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: tensors and plain values alone."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        ...


@dataclass
class MeasuredOnce:
    """A `Trainer` of a baseline: `measure` makes the dictionary of the first round's activations [n, d_in]."""

    measure: Callable[[torch.Tensor], Dictionary]
    made: Dictionary | None = None

    @property
    def rounds_wanted(self) -> int | None:
        """One round is enough."""
        return 1

    def train_round(self, given: Round) -> str:
        """Measure the first round; later ones change nothing."""
        self.made = self.made or self.measure(given.acts.cpu())
        return "measured"

    def dictionary(self) -> Dictionary:
        """Return what was measured."""
        if self.made is None:
            raise ValueError("nothing was fitted yet")
        return self.made

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the fit ends with its first round, so no checkpoint is ever taken up."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up nothing."""
        del state


def make_trainer(config: FitConfig, d_in: int, device: str = "cpu") -> Trainer:
    """Begin a fit of activations with `d_in` dimensions."""
    module, _, name = FITTED[config.kind].trainer.partition(":")
    begin: Callable[[FitConfig, int, str], Trainer] = getattr(import_module(module), name)
    return begin(config, d_in, device)
