"""Training of the eyes of shapes-vlm on the words of the wider world: what is marked, and what a picture shows.

They start as those that are shipped. The truth is exact: the words that hold in the marked cell. What the heads read is
what the language model is given later; the heads themselves are thrown away.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from autointerp.shapes.scenes import GRID
from training.shapes.loop import Average, generator, warm_hold_fall
from training.shapes.phrases import PATCHES
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_questions import Shown
from training.shapes.vlm_requests import Views
from training.shapes.wide.pool import WidePool
from training.shapes.wide.truth import LOOK_WORDS, ROW
from training.shapes.wide.words import EXCLUSIVE, PARTS, PLACES

STEP = GRID // PATCHES
GROUPS: tuple[tuple[str, int, int], ...] = tuple(
    (kind, ROW["", EXCLUSIVE[kind][0]], len(EXCLUSIVE[kind])) for kind in EXCLUSIVE
)
"""Atoms of which one at most holds in a cell: name, first row in `ATOMS`, and how many."""
SEVERAL = np.array(
    [*(ROW["", part] for part in PARTS), *(ROW["", place] for place in PLACES), ROW["", "object"]], np.int64
)
"""Atoms of which several hold in a cell."""
_SHOWS = np.array([*(ROW["", w] for w in LOOK_WORDS), *(ROW["", w] for w in EXCLUSIVE["background"])], np.int64)
"""Atoms that a whole picture is asked about."""
OF_WIDE = 0.75
"""Share of the views that are of the wider world."""
WHOLE = 8
"""One view of so many is of a whole picture."""
KEPT = 10.0
"""What it weighs that the eyes see the world as before, whose language model learned to read what they saw."""


def to_eyes(views: np.ndarray, draw: torch.Generator | None = None) -> torch.Tensor:
    """Views as the eyes take them, float32 [n, 3, SIZE, SIZE]; with `draw` a little brighter or darker each."""
    pixels = (torch.from_numpy(views).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    if draw is not None:
        pixels = pixels * (1 + 0.03 * torch.randn(len(pixels), 1, 1, 1, generator=draw))
        pixels = pixels + 0.03 * torch.randn(len(pixels), 3, 1, 1, generator=draw)
    return pixels


def at_marks(pool: WidePool, shown: list[Shown]) -> np.ndarray:
    """Which atoms hold at the marked cell of each view, float32 [views, ATOMS]."""
    cells = np.array([(one.picture, *one.cell) for one in shown if one.cell])
    return pool.cells.atoms_at(*cells.T).astype(np.float32)


class EyesModule(torch.nn.Module):
    """The eyes, with heads that only training needs."""

    def __init__(self, eyes: torch.nn.Module, width: int = 128) -> None:
        super().__init__()
        self.eyes = eyes
        self.norm = torch.nn.LayerNorm(width)
        self.marked = torch.nn.Linear(width, sum(count for _, _, count in GROUPS))
        self.several = torch.nn.Linear(width, len(SEVERAL))
        self.shows = torch.nn.Linear(width, len(_SHOWS))
        self.patches = torch.nn.Linear(width, sum(count for _, _, count in GROUPS) + len(SEVERAL))


def shipped_eyes(folder: Path) -> torch.nn.Module:
    """The eyes of the model in a folder, in float32."""
    from transformers import LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    tower: torch.nn.Module = model.model.vision_tower
    return tower


class EyesTrainer:
    """`views` pictures a step, most of them marked at a cell.

    What the eyes see of the world stays what they saw before: their vectors are held to those of the eyes at the start.
    """

    name = "vlm-eyes"

    def __init__(
        self,
        pool: WidePool,
        eyes: torch.nn.Module,
        steps: int = 20_000,
        views: int = 48,
        seed: int = 0,
        rate: float = 1e-3,
    ) -> None:
        torch.manual_seed(seed)
        self.pool, self.steps, self.views, self.seed = pool, steps, views, seed
        self.views_of = Views(Pool(pool.pictures, {}))
        self._wide, self._own = np.flatnonzero(pool.wide), np.flatnonzero(~pool.wide)
        self.model = EyesModule(eyes)
        self._before = deepcopy(eyes).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
        self.average = Average(self.model, 0.998)
        self.parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer, "average": self.average}

    def draw(self, rng: np.random.Generator, count: int) -> list[Shown]:
        """Draw views of the pool."""
        shown = []
        for i in range(count):
            wide = len(self._wide) and (rng.random() < OF_WIDE or not len(self._own))
            picture = int(rng.choice(self._wide if wide else self._own))
            if i % WHOLE == 0:
                shown.append(Shown(picture))
            else:
                on = self.pool.cells.owner[picture] >= 0
                cells = np.argwhere(on if rng.random() < 0.75 and on.any() else ~on)
                row, col = cells[rng.integers(len(cells))].tolist()
                shown.append(Shown(picture, (row, col)))
        return shown

    def step(self, index: int) -> str:
        """One batch of views."""
        warm_hold_fall(self.optimizer, index, self.steps, 200)
        shown = self.draw(np.random.default_rng((self.seed, 72, index)), self.views)
        pixels = to_eyes(self.views_of(shown), generator(self.seed, index))
        seen = self.model.eyes(pixels).last_hidden_state
        out = self.model.norm(seen)
        marked, whole = self._marks(out[:, 0], shown), self._wholes(out, shown)
        kept = self._kept(pixels, seen, shown)
        loss = marked + whole + KEPT * kept
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update()
        return " ".join(
            f"{what} {float(part.detach()):.3f}"
            for what, part in (("marks", marked), ("pictures", whole), ("kept", kept))
        )

    def _kept(self, pixels: torch.Tensor, seen: torch.Tensor, shown: list[Shown]) -> torch.Tensor:
        """How far vectors of views of the world are from those before, in units of their variance."""
        own = torch.from_numpy(~self.pool.wide[[one.picture for one in shown]])
        if not own.any():
            return torch.zeros(())
        with torch.no_grad():
            before = self._before(pixels[own]).last_hidden_state
            scale = before.flatten(0, 1).var(0)
        off = (seen[own] - before).square() / scale
        return off[:, 0].mean() + off[:, 1:].mean()

    def _marks(self, seen: torch.Tensor, shown: list[Shown]) -> torch.Tensor:
        """Cross-entropy of what holds in the marked cells."""
        at = [i for i, one in enumerate(shown) if one.cell]
        hold = torch.from_numpy(at_marks(self.pool, shown))
        loss = _grouped(self.model.marked(seen[at]), hold)
        several = F.binary_cross_entropy_with_logits(self.model.several(seen[at]), hold[:, SEVERAL], reduction="none")
        return loss + 1.5 * several.sum(1).mean() / 4

    def _wholes(self, out: torch.Tensor, shown: list[Shown]) -> torch.Tensor:
        """What the whole pictures show anywhere, and what is in the middle of each patch of every picture."""
        at = [i for i, one in enumerate(shown) if not one.cell]
        present = torch.from_numpy(
            self.pool.cells.present[[shown[i].picture for i in at]][:, _SHOWS].astype(np.float32)
        )
        loss = F.binary_cross_entropy_with_logits(self.model.shows(out[at, 0]), present) * 20
        pictures = np.array([one.picture for one in shown]).repeat(PATCHES * PATCHES)
        row, col = (np.stack(np.divmod(np.arange(PATCHES**2), PATCHES)) * STEP + STEP // 2).tolist()
        rows, cols = np.tile(row, len(shown)), np.tile(col, len(shown))
        truth = torch.from_numpy(self.pool.cells.atoms_at(pictures, rows, cols).astype(np.float32))
        logits = self.model.patches(out[:, 1:].flatten(0, 1))
        groups, several = logits.split([logits.shape[1] - len(SEVERAL), len(SEVERAL)], 1)
        binary = F.binary_cross_entropy_with_logits(several, truth[:, SEVERAL], reduction="none").sum(1).mean()
        return loss + _grouped(groups, truth) + binary / 4

    def save(self, folder: Path) -> None:
        """Write the averaged eyes, in half precision."""
        self.average.swap()
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.half().contiguous() for name, value in self.model.eyes.state_dict().items()}
        save_file(state, folder / "eyes.safetensors")
        self.average.swap()


def load_eyes(eyes: torch.nn.Module, path: Path) -> None:
    """Take up eyes that `EyesTrainer.save` wrote."""
    eyes.load_state_dict({name: value.float() for name, value in load_file(path).items()})


def _grouped(logits: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of exclusive atoms, each group over the rows in which one of it holds at all."""
    losses = []
    for (_, first, count), own in zip(GROUPS, logits.split([count for _, _, count in GROUPS], 1), strict=True):
        wanted = share[:, first : first + count]
        total = wanted.sum(1)
        some = total > 0
        if some.any():
            loss = F.cross_entropy(own[some], wanted[some] / total[some, None], reduction="none")
            losses.append((loss * total[some]).sum() / total.sum())
    return torch.stack(losses).sum()
