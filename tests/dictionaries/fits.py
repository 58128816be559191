"""Shared by the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from autointerp.dictionaries.fitting import FitConfig, Trainer, make_trainer
from autointerp.dictionaries.growth import ITDAGrower
from autointerp.dictionaries.kinds import FITTED
from autointerp.dictionaries.metrics import Reconstruction
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.rounds import Round

D_IN, CONCEPTS, ACTIVE = 32, 48, 3


def synthetic(n: int, seed: int, outliers: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of a few of 48 unit directions, with noise, and `outliers` dimensions a hundred times larger."""
    directions = F.normalize(torch.randn(CONCEPTS, D_IN, generator=torch.Generator().manual_seed(99)), dim=1)
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.rand(n, CONCEPTS, generator=draw).topk(ACTIVE, dim=1).indices
    strength = 1 + torch.rand(n, ACTIVE, generator=draw)
    x = torch.zeros(n, CONCEPTS).scatter_(1, chosen, strength) @ directions
    x = x + 0.02 * torch.randn(n, D_IN, generator=draw)
    x[:, :outliers] = 100 * torch.randn(n, outliers, generator=draw) + 50
    return x, directions


def rounds(acts: torch.Tensor, count: int = 2, steps: int = 1) -> list[Round]:
    """Activations as rounds of one image a cell, their denoising step counted up to `steps`."""
    number = torch.arange(len(acts))
    places = torch.stack([number, number % steps, number * 0, number * 0], 1)
    return [Round(a, p) for a, p in zip(acts.chunk(count), places.chunk(count), strict=True)]


def config(kind: str = "topk", tokens: int = 16_384, **more: Any) -> FitConfig:
    options: dict[str, Any] = {"threshold": 0.05, "batch": 256} if kind == "itda" else {}
    if "passes" in FITTED[kind].options:
        options = {"passes": 8, "batch": 128, "rate": 3e-3, "dead_after": 5000, "revive_after": 0}
    options |= {name: more.pop(name) for name in list(more) if name not in FitConfig.__dataclass_fields__}
    sizes = {"num_latents": 64, "k": ACTIVE, "tokens": tokens, "rounds": 2, "steps": (0,), **more}
    return FitConfig(kind, **sizes, options=options)


def grower(tokens: int, rounds: int, **options: Any) -> ITDAGrower:
    given = FitConfig("itda", 64, 2, tokens, rounds, (0,), options={"normalize": "none", "batch": 256, **options})
    return ITDAGrower(given, D_IN)


def fit(acts: torch.Tensor, given: FitConfig, count: int = 2) -> Trainer:
    trainer = make_trainer(given, acts.shape[1])
    for one in rounds(acts, count, len(given.steps)):
        trainer.train_round(one)
    return trainer


def share_found(dictionary: Dictionary, directions: torch.Tensor, cosine: float = 0.9) -> float:
    """Share of the true directions that some latent points along."""
    cosines = directions @ F.normalize(dictionary.directions, dim=1).T
    return float((cosines.max(1).values > cosine).float().mean())


def figures(dictionary: Dictionary, acts: torch.Tensor) -> Reconstruction:
    found = Reconstruction(dictionary.d_in, dictionary.num_latents)
    found.update(dictionary, acts)
    return found
