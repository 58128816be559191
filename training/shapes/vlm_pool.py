"""The pictures that shapes-vlm is taught and measured on: renders, and pictures of the diffusion model.

Their scenes, captions and noise are streams of their own: none is one that a harvest, an evaluation or another
trainer draws.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from autointerp.progress import Progress
from autointerp.shapes.concepts import Concept, concept_masks
from autointerp.shapes.oracle import HEADS, Oracle
from autointerp.shapes.scenes import Scene, render, sample_held_out_scene, sample_training_scene
from training.shapes.measure import Sampling, generate
from training.shapes.oracle import stack_cells

NOISE_SEEDS = 6_000_000_000
"""Above every seed of a harvest or of held-out images."""
_RENDERED, _PAINTED = 61, 62
LEFT_OUT = ("cyan", "dotted", "red circle", "blue striped", "large star", "green top left")
"""What the second training never sees: a colour, a texture, and four pairs."""


@dataclass(frozen=True)
class Pool:
    """Pictures and what holds in their cells.

    `pictures`: uint8 [n, 96, 96, 3]. `cells`: attribute -> int8 [n, 12, 12], as `Render.cells`.
    """

    pictures: np.ndarray
    cells: dict[str, np.ndarray]

    @classmethod
    def of(cls, pictures: np.ndarray, cells: dict[str, np.ndarray]) -> Pool:
        """A pool of pictures and cells of any integer type; one byte a value makes drawing questions quick."""
        return cls(pictures, {name: values.astype(np.int8) for name, values in cells.items()})

    def __len__(self) -> int:
        return len(self.pictures)

    @cached_property
    def _masks(self) -> tuple[list[Concept], np.ndarray]:
        return concept_masks(self.cells)

    @property
    def concepts(self) -> list[Concept]:
        """Every concept of the world."""
        return self._masks[0]

    @property
    def masks(self) -> np.ndarray:
        """Where each concept holds, bool [concepts, n, 12, 12]."""
        return self._masks[1]

    @cached_property
    def present(self) -> np.ndarray:
        """In which pictures each concept holds anywhere, bool [concepts, n]."""
        return np.any(self.masks, (2, 3))

    @cached_property
    def base_rates(self) -> np.ndarray:
        """Share of all cells in which each concept holds, float64 [concepts]."""
        return self.masks.reshape(len(self.masks), -1).mean(1)

    def mirrored(self) -> Pool:
        """The same pictures, left and right exchanged: as likely in this world, and as true."""
        cells = {name: np.ascontiguousarray(values[:, :, ::-1]) for name, values in self.cells.items()}
        return Pool(np.ascontiguousarray(self.pictures[:, :, ::-1]), cells)

    def without(self, names: Sequence[str]) -> Pool:
        """The pictures in which none of these concepts holds anywhere."""
        rows = [i for i, concept in enumerate(self.concepts) if concept.name in names]
        if len(rows) != len(names):
            raise ValueError(f"not all of {list(names)} are concepts")
        keep = ~self.present[rows].any(0)
        return Pool(self.pictures[keep], {name: values[keep] for name, values in self.cells.items()})


def joined(pools: Sequence[Pool]) -> Pool:
    """One pool of several."""
    cells = {name: np.concatenate([pool.cells[name] for pool in pools]) for name in HEADS}
    return Pool(np.concatenate([pool.pictures for pool in pools]), cells)


def _scenes(stream: int, count: int, seed: int, held_out: bool) -> list[Scene]:
    sample = sample_held_out_scene if held_out else sample_training_scene
    return [sample(np.random.default_rng((seed, stream, int(held_out), n))) for n in range(count)]


def rendered_pool(count: int, seed: int = 0, held_out: bool = False) -> Pool:
    """Renders with their exact truth, of captions that trainers may see, or of held-out ones."""
    renders = [render(scene) for scene in _scenes(_RENDERED, count, seed, held_out)]
    return Pool.of(np.stack([r.image for r in renders]), stack_cells(renders))


def painted_pool(
    path: Path,
    folder: Path,
    count: int,
    seed: int = 0,
    held_out: bool = False,
    progress: Progress | None = None,
) -> Pool:
    """Pictures that the diffusion model in `folder` paints, as the oracle beside it reads them.

    Kept in `path`: they cost a hundred renders each.
    """
    if not path.exists():
        from diffusers import FluxPipeline

        defaults = json.loads((folder / "model" / "autointerp.json").read_text())
        pipeline = FluxPipeline.from_pretrained(folder / "model", torch_dtype=torch.float32)
        captions = [scene.caption for scene in _scenes(_PAINTED, count, seed, held_out)]
        first = NOISE_SEEDS + 1_000_000 * (2 * seed + held_out)
        sampling = Sampling(int(defaults["steps"]), float(defaults["guidance"]), 16, first, torch.float32)
        made = generate(pipeline, captions, sampling, progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        # What is saved is memory as it lies: of a transposed array, another picture.
        save_file({"pictures": np.ascontiguousarray(made)}, path)
    pictures = load_file(path)["pictures"]
    return Pool.of(pictures, Oracle.load(folder / "oracle").read(pictures))
