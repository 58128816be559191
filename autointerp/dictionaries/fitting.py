"""Fitting on activations that arrive in rounds, each seen, shuffled, trained on and let go.

A round is the shuffle buffer: as many activations as are held in memory at a time. Its end is a checkpoint: the
trainer's state alone, no activations, is enough to go on to the same dictionary as a fit that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from autointerp.dictionaries.baselines import PCA, Neurons, RandomDirections
from autointerp.dictionaries.growth import GrowthOptions, ITDAGrower
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.rounds import Round
from autointerp.dictionaries.training import SAEOptions, SAETrainer


@dataclass(frozen=True)
class FitConfig:
    """What is fitted, on how much.

    `rounds` are all that will come, `tokens` the activations in them together; `steps` the denoising steps they are
    from. `options` belong to the kind: `SAEOptions` or `GrowthOptions`.
    """

    kind: str
    num_latents: int
    k: int
    tokens: int
    rounds: int
    steps: tuple[int, ...]
    normalize: str = "standard"
    seed: int = 0
    sae: SAEOptions = field(default_factory=SAEOptions)
    growth: GrowthOptions = field(default_factory=GrowthOptions)


class Trainer(Protocol):
    """A fit under way."""

    @property
    def rounds_wanted(self) -> int | None:
        """After how many rounds it has seen enough; None for all there are."""
        ...

    def train_round(self, given: Round) -> str:
        """Take in a round; returns a note on how it stands, for the progress bar."""
        ...

    def dictionary(self) -> Dictionary:
        """What was fitted so far, with the normalisation folded in."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: tensors and plain values alone."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        ...


class _Measured:
    """A baseline: all that is fitted is measured on the first round."""

    rounds_wanted = 1

    def __init__(self, measure: Callable[[torch.Tensor], Dictionary]) -> None:
        self._measure = measure
        self._made: Dictionary | None = None

    def train_round(self, given: Round) -> str:
        self._made = self._made or self._measure(given.acts.cpu())
        return "measured"

    def dictionary(self) -> Dictionary:
        if self._made is None:
            raise ValueError("nothing was fitted yet")
        return self._made

    # One round is all, so that a checkpoint would never be taken up.
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        del state


def _random(config: FitConfig) -> Callable[[torch.Tensor], Dictionary]:
    def draw(acts: torch.Tensor) -> Dictionary:
        normal = Normalization.measure(acts, config.normalize)
        return RandomDirections.draw(normal, config.num_latents, config.k, config.seed)

    return draw


def _sae(config: FitConfig, d_in: int, device: str) -> Trainer:
    return SAETrainer(
        config.kind,
        d_in,
        config.num_latents,
        config.k,
        config.tokens,
        steps=config.steps,
        normalize=config.normalize,
        seed=config.seed,
        options=config.sae,
        device=device,
    )


def _itda(config: FitConfig, d_in: int, device: str) -> Trainer:
    return ITDAGrower(
        d_in,
        config.num_latents,
        config.k,
        config.tokens,
        config.rounds,
        normalize=config.normalize,
        seed=config.seed,
        options=config.growth,
        device=device,
    )


TRAINERS: dict[str, Callable[[FitConfig, int, str], Trainer]] = {
    "topk": _sae,
    "batchtopk": _sae,
    "jumprelu": _sae,
    "itda": _itda,
    "neurons": lambda config, d_in, device: _Measured(lambda acts: Neurons.measure(acts, config.k)),
    "pca": lambda config, d_in, device: _Measured(lambda acts: PCA.measure(acts, config.num_latents, config.k)),
    "random": lambda config, d_in, device: _Measured(_random(config)),
}
"""Kind -> what fits it; the kinds that `fit` knows."""


def make_trainer(config: FitConfig, d_in: int, device: str = "cpu") -> Trainer:
    """A new fit of activations with `d_in` dimensions."""
    return TRAINERS[config.kind](config, d_in, device)
