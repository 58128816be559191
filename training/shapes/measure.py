"""The figures of the shapes world: how well each trained part does on scenes that no trainer has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from autointerp.progress import NullProgress, Progress
from autointerp.shapes.clip import ShapesClip
from autointerp.shapes.concepts import REGIONS
from autointerp.shapes.oracle import Oracle, cell_accuracy, to_tensor
from autointerp.shapes.scenes import ATTRIBUTES, POSITIONS, SIZE, Render, Scene, render, sample_held_out_scene
from training.shapes.autoencoder import reconstruction_db
from training.shapes.oracle import stack_cells
from training.shapes.phrases import window
from training.shapes.tokenizers import MAX_TOKENS

WINDOW = 6
"""Cells a side of the crops that the phrase figures use: an object and a little around it."""
CHOICES = 20
LEAST_CELLS = 3
"""A place holds an object from this many of its cells on: the smallest ring or star covers twice as many."""
OBJECT_WORDS = ("size", "color", "texture", "shape")


def held_out_scenes(count: int, seed: int = 1000) -> list[Scene]:
    """Scenes with held-out captions; scene n depends on (seed, n) alone."""
    return [sample_held_out_scene(np.random.default_rng((seed, 51, n))) for n in range(count)]


def held_out_renders(count: int, seed: int = 1000) -> list[Render]:
    """Renders of `held_out_scenes`."""
    return [render(scene) for scene in held_out_scenes(count, seed)]


def autoencoder_db(vae: Any, renders: Sequence[Render]) -> float:
    """Reconstruction of renders in dB, over all their pixels."""
    return reconstruction_db(vae, to_tensor(np.stack([r.image for r in renders])))


def oracle_accuracy(oracle: Oracle, renders: Sequence[Render]) -> dict[str, float]:
    """Share of cells read right, by attribute; see `cell_accuracy`."""
    return cell_accuracy(oracle.read(np.stack([r.image for r in renders])), stack_cells(list(renders)))


def object_crops(renders: Sequence[Render]) -> tuple[list[Image.Image], list[tuple[str, ...]]]:
    """A window around every object and the object's words (size, color, texture, shape)."""
    crops, words = [], []
    for truth in renders:
        picture = Image.fromarray(truth.image)
        for o in truth.scene.objects:
            box, _ = window(int(o.y // 8), int(o.x // 8), WINDOW)
            crops.append(picture.crop(tuple(round(v) for v in box)))  # type: ignore[arg-type]
            words.append(tuple(getattr(o, name) for name in OBJECT_WORDS))
    return crops, words


def phrase_accuracy(clip: ShapesClip, renders: Sequence[Render], seed: int = 0) -> dict[str, float]:
    """How often the phrase nearest to an object's crop is the right one.

    `phrase of 20`: the object's whole phrase without its position against 19 others, distinct and false. Each
    attribute: its right word among all words of the attribute, each alone.
    """
    crops, truths = object_crops(renders)
    pictures = clip.embed_images(crops)
    rng = np.random.default_rng(seed)
    every = list(product(*(ATTRIBUTES[name] for name in OBJECT_WORDS)))
    texts = clip.embed_texts([" ".join(words) for words in every])
    right = 0
    for vector, truth in zip(pictures, truths, strict=True):
        own = every.index(truth)
        others = [i for i in rng.permutation(len(every))[:CHOICES] if i != own][: CHOICES - 1]
        right += vector @ texts[own] > (texts[others] @ vector).max()
    figures = {f"phrase of {CHOICES}": right / len(truths)}
    for column, name in enumerate(OBJECT_WORDS):
        words = ATTRIBUTES[name]
        best = (pictures @ clip.embed_texts(list(words)).T).argmax(1)
        figures[name] = float(np.mean([words[b] == truth[column] for b, truth in zip(best, truths, strict=True)]))
    return figures


@dataclass(frozen=True)
class Sampling:
    """How the diffusion model is asked for pictures."""

    steps: int
    """Denoising steps."""
    guidance: float
    """Of true classifier-free guidance."""
    batch_size: int = 32
    first_seed: int = 0
    """Picture n has a generator seeded with `first_seed + n`."""
    dtype: torch.dtype = torch.bfloat16
    """That autocast computes in; float32 is no autocast."""


def generate(
    pipeline: Any, captions: Sequence[str], sampling: Sampling, progress: Progress | None = None
) -> np.ndarray:
    """Pictures of captions by a `FluxPipeline`, uint8 [n, 96, 96, 3]."""
    size, dtype = sampling.batch_size, sampling.dtype
    pipeline.set_progress_bar_config(disable=True)
    parts = []
    with (progress or NullProgress()).task("generating", len(captions), unit="image") as bar:
        for start in range(0, len(captions), size):
            batch, first = list(captions[start : start + size]), sampling.first_seed + start
            with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                made = pipeline(
                    prompt=batch,
                    negative_prompt=[""] * len(batch),
                    true_cfg_scale=sampling.guidance,
                    num_inference_steps=sampling.steps,
                    height=SIZE,
                    width=SIZE,
                    max_sequence_length=MAX_TOKENS,
                    generator=[torch.Generator().manual_seed(first + i) for i in range(len(batch))],
                    output_type="np",
                ).images
            parts.append(np.rint(np.asarray(made, np.float32) * 255).clip(0, 255).astype(np.uint8))
            bar.advance(len(batch))
    return np.concatenate(parts)


def follows(cells: dict[str, np.ndarray], scene: Scene) -> dict[str, list[bool]]:
    """What of a caption a picture shows, read off its cells [12, 12].

    An object's place is its quadrant, or the centre. `position`: the place holds an object. An attribute is right
    when most of the place's object cells carry it (an empty place has every attribute wrong). `background`: most
    background cells carry it. `no extra`: the quadrants of no asked object are empty (nothing is asked of the
    others when the asked object is in the centre, which touches all).
    """
    found: dict[str, list[bool]] = {name: [] for name in ("position", *OBJECT_WORDS, "background", "no extra")}
    here = cells["part"] >= 0
    for o in scene.objects:
        place = np.zeros_like(here)
        place[REGIONS[o.position]] = True
        place &= here
        found["position"].append(bool(place.sum() >= LEAST_CELLS))
        for name in OBJECT_WORDS:
            counts = np.bincount(cells[name][place], minlength=len(ATTRIBUTES[name]))
            found[name].append(bool(place.any() and counts.argmax() == ATTRIBUTES[name].index(getattr(o, name))))
    ground = cells["background"][~here]
    asked_ground = ATTRIBUTES["background"].index(scene.background)
    found["background"].append(bool(len(ground) and np.bincount(ground).argmax() == asked_ground))
    asked = {o.position for o in scene.objects}
    if "center" not in asked:
        found["no extra"] = [
            bool(here[REGIONS[p]].sum() < LEAST_CELLS) for p in POSITIONS if p != "center" and p not in asked
        ]
    return found


def score_pictures(oracle: Oracle, pictures: np.ndarray, scenes: Sequence[Scene]) -> dict[str, float]:
    """Shares of `follows` over pictures [n, 96, 96, 3] of scenes: of objects, of backgrounds, of unasked places.

    `whole caption`: share of pictures in which everything is right.
    """
    read = oracle.read(pictures)
    every = [follows({name: value[i] for name, value in read.items()}, scene) for i, scene in enumerate(scenes)]
    figures = {name: float(np.mean([ok for found in every for ok in found[name]])) for name in every[0]}
    figures["whole caption"] = float(np.mean([all(ok for oks in found.values() for ok in oks) for found in every]))
    return figures


def save_sheet(pictures: np.ndarray, path: Path, columns: int = 8) -> None:
    """Pictures [n, 96, 96, 3] side by side in one PNG, with a white line between."""
    rows = -(-len(pictures) // columns)
    step = SIZE + 4
    sheet = Image.new("RGB", (columns * step - 4, rows * step - 4), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture), (i % columns * step, i // columns * step))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def table(title: str, figures: dict[str, float], unit: str = "%") -> str:
    """Figures as aligned lines; shares in percent, or plain numbers of another unit."""
    lines = [title]
    for name, value in figures.items():
        lines.append(f"  {name:<16}{100 * value:6.1f} %" if unit == "%" else f"  {name:<16}{value:6.2f} {unit}")
    return "\n".join(lines)
