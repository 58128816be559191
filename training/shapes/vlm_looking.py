"""What the eyes of shapes-vlm learn: what holds in a marked cell, and what a whole picture shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from autointerp.shapes.concepts import REGIONS
from autointerp.shapes.scenes import ATTRIBUTES, GRID, POSITIONS
from training.shapes.clip import PATCH_CLASSES
from training.shapes.phrases import PATCH_FIELDS, PATCHES, SIDE as CLIP_SIDE
from training.shapes.vlm_model import MARKED_CLASSES, SIDE, VlmModule
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_questions import Shown

OF_PART = 3.0
"""What it weighs whether a mark is on an edge or inside: that is told by a few pixels, all else by many."""
STEP = GRID // PATCHES
"""Cells of a patch's side."""


def start_eyes(eyes: torch.nn.Module) -> None:
    """Start from the eyes of shapes-clip, which know colours and textures, and shapes less well.

    A patch has more pixels here, so each of its weights is spread evenly over those that take its pixel's place.
    """
    from transformers import CLIPModel

    from autointerp.shapes.clip import FOLDER

    trained = CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).vision_model.state_dict()
    times = SIDE // CLIP_SIDE
    name = next(name for name in trained if name.endswith("patch_embedding.weight"))
    trained[name] = trained[name].repeat_interleave(times, 2).repeat_interleave(times, 3) / times**2
    eyes.load_state_dict(trained)


def draw_views(pool: Pool, count: int, rng: np.random.Generator) -> list[Shown]:
    """Draw pictures of a pool; of every four, three are marked, most often on an object."""
    shown = []
    for i in range(count):
        picture = int(rng.integers(len(pool)))
        here = pool.cells["part"][picture] >= 0
        cells = np.argwhere(here if rng.random() < 0.8 else ~here)
        row, col = cells[rng.integers(len(cells))] if len(cells) else (0, 0)
        shown.append(Shown(picture, (int(row), int(col)) if i % 4 else None))
    return shown


def looking_loss(model: VlmModule, pool: Pool, shown: Sequence[Shown], seen: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of what pictures and their marks show; `seen` [n, TOKENS, width] is what the eyes see."""
    out = model.norm(seen)
    return _mark_loss(model.marked(out[:, 0]), pool, shown) + _picture_loss(model, out, pool, shown)


def _mark_loss(logits: torch.Tensor, pool: Pool, shown: Sequence[Shown]) -> torch.Tensor:
    """What holds in the marked cell, and in which regions it lies."""
    at = [i for i, s in enumerate(shown) if s.cell]
    cells = [(shown[i].picture, *shown[i].cell) for i in at]  # type: ignore[misc]
    index = tuple(np.array(axis) for axis in zip(*cells, strict=True))
    *by_name, where = logits[at].split([*MARKED_CLASSES, len(POSITIONS)], dim=1)
    losses = []
    for name, part in zip(ATTRIBUTES, by_name, strict=True):
        truth = torch.from_numpy(pool.cells[name][index].astype(np.int64)) + (name == "part")
        if (truth >= 0).any():
            weight = OF_PART if name == "part" else 1.0
            losses.append(weight * F.cross_entropy(part, truth, ignore_index=-1))
    inside = np.zeros((len(POSITIONS), GRID, GRID), np.float32)
    for i, place in enumerate(POSITIONS):
        inside[(i, *REGIONS[place])] = 1
    regions = torch.from_numpy(inside[:, index[1], index[2]].T.copy())
    return torch.stack(losses).sum() + F.binary_cross_entropy_with_logits(where, regions) * len(POSITIONS) / 2


def _picture_loss(model: VlmModule, out: torch.Tensor, pool: Pool, shown: Sequence[Shown]) -> torch.Tensor:
    """Which concepts the whole picture shows, and what is in the middle of each patch."""
    pictures = [s.picture for s in shown]
    shows = torch.from_numpy(pool.present[:, pictures].T.astype(np.float32))
    total = F.binary_cross_entropy_with_logits(model.shows(out[:, 0]), shows) * 20
    logits = model.patches(out[:, 1:]).flatten(0, 1).split(PATCH_CLASSES, dim=1)
    for name, part in zip(PATCH_FIELDS, logits, strict=True):
        cells = pool.cells[name][pictures, STEP // 2 :: STEP, STEP // 2 :: STEP].astype(np.int64)
        total = total + F.cross_entropy(part, torch.from_numpy(cells.reshape(-1)) + (name == "part"), ignore_index=-1)
    return total
