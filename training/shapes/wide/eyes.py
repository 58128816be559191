"""Training of the eyes of shapes-vlm on the words of the wider world: what is marked, and what a picture shows.

They start as those that are shipped. The truth is exact: the share of the marked cells in which each word holds. What
the heads read is what the language model is given later; the heads themselves are thrown away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from autointerp.shapes.scenes import GRID
from training.shapes.loop import Average, generator, warm_hold_fall
from training.shapes.phrases import PATCHES
from training.shapes.vlm_requests import small
from training.shapes.wide.maps import draw_map, draw_taste, stray
from training.shapes.wide.pool import WidePool
from training.shapes.wide.truth import ATOMS, LOOK_WORDS, ROW
from training.shapes.wide.views import Site, shown, to_eyes
from training.shapes.wide.words import EXCLUSIVE, LOOKS, PARTS, PLACES

STEP = GRID // PATCHES
GROUPS: tuple[tuple[str, int, int], ...] = (
    *((f"{kind}", ROW["", EXCLUSIVE[kind][0]], len(EXCLUSIVE[kind])) for kind in EXCLUSIVE),
    *((f"near {kind}", ROW["near", EXCLUSIVE[kind][0]], len(EXCLUSIVE[kind])) for kind in LOOKS),
    ("on", ROW["on", EXCLUSIVE["background"][0]], len(EXCLUSIVE["background"])),
)
"""Atoms of which one at most holds in a cell: name, first row in `ATOMS`, and how many."""
_SEVERAL = np.array(
    [*(ROW["", part] for part in PARTS), *(ROW["", place] for place in PLACES), ROW["", "object"]], np.int64
)
"""Atoms of which several hold in a cell."""
_SHOWS = np.array([*(ROW["", w] for w in LOOK_WORDS), *(ROW["", w] for w in EXCLUSIVE["background"])], np.int64)
"""Atoms that a whole picture is asked about."""
WEIGHTS = {"near size": 0.2, "near color": 0.4, "near texture": 0.3, "near shape": 0.4, "on": 0.3}
OF_WIDE = 0.6
"""Share of the views that are of the wider world."""


def as_eyes_get(pictures: np.ndarray) -> np.ndarray:
    """Pictures as they come out of a request, enlarged and made small again: uint8 [n, 96, 96, 3]."""
    from PIL import Image

    from autointerp.labeling.asking.messages import _enlarged

    return np.stack([small(_enlarged(Image.fromarray(picture))) for picture in pictures])


def shares(pool: WidePool, sites: list[Site]) -> np.ndarray:
    """Share of the marked cells in which each atom holds, float32 [sites, ATOMS]; 0 for whole pictures."""
    masks = np.stack([site.mask for site in sites])
    which, row, col = np.nonzero(masks)
    hold = pool.cells.atoms_at(np.array([site.picture for site in sites])[which], row, col)
    counts = masks.reshape(len(sites), -1).sum(1)
    out = np.zeros((len(sites), len(ATOMS)), np.float32)
    np.add.at(out, which, hold)
    return out / np.maximum(counts, 1)[:, None]


class EyesModule(torch.nn.Module):
    """The eyes, with heads that only training needs."""

    def __init__(self, eyes: torch.nn.Module, width: int = 128) -> None:
        super().__init__()
        self.eyes = eyes
        self.norm = torch.nn.LayerNorm(width)
        self.marked = torch.nn.Linear(width, sum(count for _, _, count in GROUPS))
        self.several = torch.nn.Linear(width, len(_SEVERAL))
        self.shows = torch.nn.Linear(width, len(_SHOWS))
        self.patches = torch.nn.Linear(width, sum(count for _, _, count in GROUPS) + len(_SEVERAL))


def shipped_eyes(folder: Path) -> torch.nn.Module:
    """The eyes of the model in a folder, in float32."""
    from transformers import LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    tower: torch.nn.Module = model.model.vision_tower
    return tower


class EyesTrainer:
    """`views` pictures a step: a quarter whole, a quarter marked at a cell, half with a map."""

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
        self.pictures = as_eyes_get(pool.pictures)
        self._wide, self._own = np.flatnonzero(pool.wide), np.flatnonzero(~pool.wide)
        self.model = EyesModule(eyes)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
        self.average = Average(self.model, 0.998)
        self.parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer, "average": self.average}

    def sites(self, rng: np.random.Generator, count: int) -> list[Site]:
        """Draw views of the pool."""
        sites = []
        for i in range(count):
            wide = len(self._wide) and (rng.random() < OF_WIDE or not len(self._own))
            picture = int(rng.choice(self._wide if wide else self._own))
            if i % 4 == 0:
                sites.append(Site.whole(picture))
            elif i % 4 == 1:
                on = self.pool.cells.owner[picture] >= 0
                cells = np.argwhere(on if rng.random() < 0.75 and on.any() else ~on)
                row, col = cells[rng.integers(len(cells))].tolist()
                sites.append(Site.cell(picture, row, col))
            else:
                mask = np.zeros((GRID, GRID), bool)
                while not mask.any():
                    mask = draw_map(self.pool.cells, picture, draw_taste(rng), rng)
                sites.append(Site(picture, stray(mask, rng) if rng.random() < 0.12 else mask, "map"))
        return sites

    def step(self, index: int) -> str:
        """One batch of views."""
        warm_hold_fall(self.optimizer, index, self.steps, 200)
        sites = self.sites(np.random.default_rng((self.seed, 72, index)), self.views)
        pixels = to_eyes(shown(self.pictures, sites), generator(self.seed, index))
        out = self.model.norm(self.model.eyes(pixels).last_hidden_state)
        marked, whole = self._marks(out[:, 0], sites), self._wholes(out, sites)
        loss = marked + whole
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update()
        return f"marks {float(marked.detach()):.3f} pictures {float(whole.detach()):.3f}"

    def _marks(self, seen: torch.Tensor, sites: list[Site]) -> torch.Tensor:
        """Cross-entropy of what holds in the marked cells, in the share in which it does."""
        at = [i for i, site in enumerate(sites) if site.style != "whole"]
        share = torch.from_numpy(shares(self.pool, [sites[i] for i in at]))
        loss = _grouped(self.model.marked(seen[at]), share)
        several = F.binary_cross_entropy_with_logits(self.model.several(seen[at]), share[:, _SEVERAL], reduction="none")
        return loss + 1.5 * several.sum(1).mean() / 4

    def _wholes(self, out: torch.Tensor, sites: list[Site]) -> torch.Tensor:
        """What the whole pictures show anywhere, and what is in the middle of each patch of every picture."""
        at = [i for i, site in enumerate(sites) if site.style == "whole"]
        present = torch.from_numpy(
            self.pool.cells.present[[sites[i].picture for i in at]][:, _SHOWS].astype(np.float32)
        )
        loss = F.binary_cross_entropy_with_logits(self.model.shows(out[at, 0]), present) * 20
        pictures = np.array([site.picture for site in sites]).repeat(PATCHES * PATCHES)
        row, col = (np.stack(np.divmod(np.arange(PATCHES**2), PATCHES)) * STEP + STEP // 2).tolist()
        rows, cols = np.tile(row, len(sites)), np.tile(col, len(sites))
        truth = torch.from_numpy(self.pool.cells.atoms_at(pictures, rows, cols).astype(np.float32))
        logits = self.model.patches(out[:, 1:].flatten(0, 1))
        groups, several = logits.split([logits.shape[1] - len(_SEVERAL), len(_SEVERAL)], 1)
        binary = F.binary_cross_entropy_with_logits(several, truth[:, _SEVERAL], reduction="none").sum(1).mean()
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
    for (name, first, count), own in zip(GROUPS, logits.split([count for _, _, count in GROUPS], 1), strict=True):
        wanted = share[:, first : first + count]
        total = wanted.sum(1)
        some = total > 0
        if some.any():
            loss = F.cross_entropy(own[some], wanted[some] / total[some, None], reduction="none")
            losses.append(WEIGHTS.get(name, 1.0) * (loss * total[some]).sum() / total.sum())
    return torch.stack(losses).sum()
