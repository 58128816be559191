"""What tests of tiny pipelines share: jobs, settings, captures, and hooks that look on."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autointerp.dictionaries.sae import TopK
from autointerp.diffusion.capture import Capture, LayerActivations
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings, ImageJob
from autointerp.diffusion.layers import Layer, resolve_layer
from autointerp.diffusion.loading import load_model
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.diffusion.model import Model
from tests.diffusion import tiny

JOBS = [ImageJob(n, prompt, 100 + n) for n, prompt in enumerate(["large red solid circle", "small blue star"])]


NAMES = list(tiny.FAMILIES)
STEPS, STEP = 4, 2
"""Denoising steps of runs on real pictures, and the one that is read."""


Models = Callable[[str], Model]
Folders = Callable[[str], Path]
Seen = tuple[list[torch.Tensor], list[np.ndarray]]
"""Activations that were captured, and pictures."""


def settings_of(model: Model, guided: str | None = None, **overrides: Any) -> GenerationSettings:
    given = {"guidance": tiny.GUIDED[guided], **overrides} if guided else overrides
    return GenerationSettings.resolve(model.defaults, given)


def captured_of(
    model: Model, layers: list[Layer], steps: tuple[int, ...], settings: GenerationSettings, **how: Any
) -> tuple[list[LayerActivations], list[np.ndarray]]:
    got: list[LayerActivations] = []

    def keep(c: LayerActivations) -> None:
        got.append(dataclasses.replace(c, acts=c.acts.clone()))

    jobs = how.pop("jobs", JOBS)
    batches = list(generate(model, jobs, settings, Capture(layers, steps, keep), **how))
    return got, [np.asarray(picture) for _, pictures in batches for picture in pictures]


def hooks_on(model: Model) -> int:
    """Hooks on what generates; text encoders of transformers have some of their own."""
    parts = [*model.denoiser.modules(), *model.pipeline.vae.modules()]
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in parts)


def by_hand(model: Model, hookpoints: list[str], settings: GenerationSettings) -> dict[str, list[tuple[Any, Any]]]:
    """(input, output) of modules at every call of the denoiser, as plain hooks see them."""
    seen: dict[str, list[tuple[Any, Any]]] = {h: [] for h in hookpoints}

    def copied(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(copied(v) for v in value)
        return value.clone() if isinstance(value, torch.Tensor) else value

    def hook_of(hookpoint: str) -> Callable[..., None]:
        def hook(module: Any, args: Any, kwargs: Any, output: Any) -> None:
            seen[hookpoint].append((copied(args[0] if args else kwargs["hidden_states"]), copied(output)))

        return hook

    parts = [(h, model.pipeline) for h in hookpoints]
    handles = []
    for hookpoint, part in parts:
        for name in hookpoint.split("."):
            part = part[int(name)] if name.isdigit() else getattr(part, name)
        handles.append(part.register_forward_hook(hook_of(hookpoint), with_kwargs=True))
    list(generate(model, JOBS, settings))
    for handle in handles:
        handle.remove()
    return seen


def rows_of(states: torch.Tensor) -> torch.Tensor:
    """[batch, width, rows, cols] as tokens, cell by cell."""
    cells = [states[:, :, r, c] for r in range(states.shape[2]) for c in range(states.shape[3])]
    return torch.stack(cells, 1)


def seen(model: Model, layers: list[Layer] | None = None, steps: tuple[int, ...] = (0, 2)) -> Seen:
    """What is captured of a guided run, at every alias if not told otherwise, and its pictures."""
    layers = layers or [resolve_layer(model, alias) for alias in model.aliases]
    settings = GenerationSettings(steps=3, guidance=2.0, size=64, max_sequence_length=28)
    got: list[torch.Tensor] = []
    batches = list(generate(model, JOBS, settings, Capture(layers, steps, lambda c: got.append(c.acts.clone()))))
    return got, [np.asarray(picture, int) for _, pictures in batches for picture in pictures]


def same(one: Seen, other: Seen) -> bool:
    """Bit for bit."""
    acts = [torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True)]
    return all(acts) and all(np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True))


def near(one: Seen, other: Seen, tolerance: float = 1e-4) -> bool:
    """Up to a share of the activations' norm, and as many steps of a color in the pictures as that may come to."""
    acts = [float((a - b).norm() / b.norm()) for a, b in zip(one[0], other[0], strict=True)]
    steps = [np.abs(a - b).max() for a, b in zip(one[1], other[1], strict=True)]
    return max(acts) < tolerance and max(steps) <= max(1, round(200 * tolerance))


def loaded(source: Path | str, **loading: Any) -> Model:
    return load_model(str(source), device="cpu", dtype="float32", loading=LoadingSettings(**loading))


def config_of(file: Path) -> str:
    return str(file.parent / "config")


def copied(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / "copy"))


def real_settings(model: Model, guidance: float = 1.0) -> GenerationSettings:
    return GenerationSettings.resolve(model.defaults, {"steps": STEPS, "guidance": guidance, "size": 64})


def dictionary_of(layer: Layer, latents: int = 24) -> TopK:
    draw = torch.Generator().manual_seed(0)
    W = torch.randn(layer.d_in, latents, generator=draw)
    return TopK(W, torch.zeros(latents), W.T.contiguous(), torch.randn(layer.d_in, generator=draw), 3)


def reader_of(dictionary: TopK, latent: int) -> Callable[[torch.Tensor, int], torch.Tensor]:
    def read(acts: torch.Tensor, step: int) -> torch.Tensor:
        code = dictionary.encode(acts)
        return (code.latent_acts * (code.latent_indices == latent)).sum(1)

    return read
