"""Fitting of the part reader: which part of an object a cell is, from shapes-clip's windows and the cell itself.

A few hundred numbers, by cross-entropy on the exact truth of cells drawn evenly from training scenes, so that what the
reader calls probable is as frequent as it says. The reader is fitted for one embedder: after `clip`, fit it again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from autointerp.labeling.evidence.cells import PartReader
from autointerp.labeling.evidence.windows import WindowEmbedder
from autointerp.labeling.protocol import CropEvidence
from autointerp.progress import NullProgress, Progress
from autointerp.shapes.clip import ShapesClip
from autointerp.shapes.oracle import to_tensor
from autointerp.shapes.scenes import GRID, Render, render, sample_training_scene
from training.shapes.loop import generator, warm_cosine
from training.shapes.oracle import LATENT_NOISE

TEXTS = ("edge", "inside", "object", "background")
WINDOWS = (3, 6)
PHRASES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("edge", (1,)),
    ("inside", (2,)),
    ("object", (1, 2)),
    ("background", (0,)),
)
"""What is read, and the classes that make each: background 0, edge 1, inside 2."""
HIDDEN = 16
CELLS = 12
"""Cells of each scene."""


def cells_of(truths: list[Render], pictures: np.ndarray, seed: int) -> tuple[list[CropEvidence], np.ndarray]:
    """Cells drawn evenly from scenes as crops, and the class of each, int64 [crops]."""
    rng = np.random.default_rng((seed, 61))
    crops, classes = [], []
    for i, (truth, pixels) in enumerate(zip(truths, pictures, strict=True)):
        picture, part = Image.fromarray(pixels), truth.cells()["part"]
        for chosen in rng.permutation(GRID * GRID)[:CELLS]:
            cell = (int(chosen) // GRID, int(chosen) % GRID)
            crops.append(CropEvidence(0, i, "", picture, (0, 0, 0, 0), (GRID, GRID), cell, 1.0, None, "top"))
            classes.append(part[cell] + 1)
    return crops, np.array(classes)


@torch.no_grad()
def training_scenes(vae: Any, count: int, seed: int) -> tuple[list[Render], np.ndarray]:
    """Scenes and their pictures, uint8 [count, 96, 96, 3]: every second as the autoencoder paints it.

    What will be read are pictures that it painted, from latents that are never quite clean.
    """
    rng = np.random.default_rng((seed, 62))
    truths = [render(sample_training_scene(rng)) for _ in range(count)]
    pictures = np.stack([truth.image for truth in truths])
    for i in range(1, count, 2):
        latents = vae.encoder(to_tensor(pictures[i : i + 1]))
        noise = torch.randn(latents.shape, generator=generator(seed, i))
        painted = vae.decoder(latents + LATENT_NOISE * float(rng.random()) ** 2 * noise).clamp(-1, 1)
        pictures[i] = ((painted[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return truths, pictures


def fit_parts(
    clip: ShapesClip,
    vae: Any,
    scenes: int = 1600,
    steps: int = 2500,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The contents of the reader's file, from the embedder and the autoencoder of the diffusion model."""
    config: dict[str, Any] = {
        "embedder": clip.name,
        "windows": list(WINDOWS),
        "texts": list(TEXTS),
        "phrases": [[phrase, list(classes)] for phrase, classes in PHRASES],
        **{key: [] for key in ("mean", "scale", "hidden", "hidden_bias", "out", "out_bias")},
    }
    crops, classes = cells_of(*training_scenes(vae, scenes, seed), seed)
    windows, reader = WindowEmbedder(clip, WINDOWS), PartReader(clip, config, "unfitted")
    parts = []
    with (progress or NullProgress()).task("looking at cells", len(crops), unit="cell") as bar:
        for start in range(0, len(crops), 1024):
            batch = crops[start : start + 1024]
            parts.append(reader.inputs(windows, batch))
            bar.advance(len(batch))
    inputs = np.concatenate(parts)
    mean, scale = inputs.mean(0), inputs.std(0) + 1e-6
    torch.manual_seed(seed)
    hidden, out = torch.nn.Linear(inputs.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, 3)
    optimizer = torch.optim.AdamW([*hidden.parameters(), *out.parameters()], lr=1e-2, weight_decay=1e-2)
    seen, target = torch.from_numpy((inputs - mean) / scale), torch.from_numpy(classes)
    for index in range(steps):
        warm_cosine(optimizer, index, steps, 50)
        chosen = torch.randint(len(target), (512,), generator=generator(seed, index))
        loss = F.cross_entropy(out(torch.tanh(hidden(seen[chosen]))), target[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fitted = {
        "mean": mean,
        "scale": scale,
        "hidden": hidden.weight,
        "hidden_bias": hidden.bias,
        "out": out.weight,
        "out_bias": out.bias,
    }
    for key, value in fitted.items():
        numbers = value.detach().numpy() if isinstance(value, torch.Tensor) else value
        config[key] = np.round(numbers.astype(np.float64), 5).tolist()
    return config


def part_figures(clip: ShapesClip, reader: PartReader, renders: list[Render], seed: int = 0) -> dict[str, float]:
    """Of the cells that are each part, the share that the reader calls so; and the share of all cells read right."""
    crops, classes = cells_of(renders, np.stack([r.image for r in renders]), seed)
    probable = reader.read(WindowEmbedder(clip, WINDOWS), crops)
    figures = {}
    for i, (phrase, own) in enumerate(PHRASES):
        figures[f"{phrase} found"] = float((probable[np.isin(classes, own), i] >= 0.5).mean())
        figures[f"{phrase} right"] = float(np.isin(classes, own)[probable[:, i] >= 0.5].mean())
    return figures


def save_parts(config: dict[str, Any], path: Path) -> None:
    """Write the reader's file, one line a key."""
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in config.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
