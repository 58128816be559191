"""The pictures that shapes-vlm is taught more words on: renders of both worlds, and pictures of both diffusion models.

Their scenes, captions and noise are streams of their own: none is one that a harvest, an evaluation or another
trainer draws. No object of a training picture has a pair of words that is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from autointerp.progress import NullProgress, Progress
from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import GRID, Scene, render, sample_held_out_scene, sample_training_scene
from training.shapes.measure import Sampling, generate
from training.shapes.oracle import stack_cells
from training.shapes.vlm_pool import Pool, joined
from training.shapes.wide.scenes import WideScene, draw_pair, render_wide, sample_wide_scene
from training.shapes.wide.truth import ATOMS, WideCells, cells_of_reading, cells_of_renders
from training.shapes.wide.words import is_left_out

NOISE_SEEDS = 7_000_000_000
"""Above every seed of a harvest, of held-out images and of other trainers."""
_RENDERED, _PAINTED, _WIDE, _PAIRS = 63, 64, 65, 66
FAMILY = 12
"""Training scenes of one pair of words, so that there are features of pairs to ask about."""
LATER = 1
"""Added to the seed of what the language model is taught on, which its eyes have not learned."""
CHUNK = 512
"""Generated pictures of a file; what is stopped goes on with the next."""
Model = Literal["shapes", "shapes-turbo"]
STEPS: dict[Model, tuple[int, float]] = {"shapes": (8, 2.5), "shapes-turbo": (4, 1.0)}
"""Denoising steps and guidance at which each model paints."""


@dataclass(frozen=True)
class WidePool:
    """Pictures, uint8 [n, 96, 96, 3], what is true of their cells, and which are renders of the wider world."""

    pictures: np.ndarray
    cells: WideCells
    wide: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)

    @classmethod
    def joined(cls, pools: Sequence[WidePool]) -> WidePool:
        """One pool of several."""
        return cls(
            np.concatenate([pool.pictures for pool in pools]),
            WideCells.joined([pool.cells for pool in pools]),
            np.concatenate([pool.wide for pool in pools]),
        )

    @cached_property
    def together(self) -> tuple[np.ndarray, np.ndarray]:
        """How often two atoms hold in one cell, in pictures of the world and in those of the wider one.

        Two float64 [ATOMS, ATOMS], shares of all cells; of one atom alone on the diagonal.
        """
        row, col = (x.reshape(-1) for x in np.mgrid[0:GRID, 0:GRID])
        sums = [np.zeros((len(ATOMS), len(ATOMS))) for _ in range(2)]
        for wide in (0, 1):
            chosen = np.flatnonzero(self.wide == bool(wide))[:4096]
            for start in range(0, len(chosen), 64):
                pictures = chosen[start : start + 64].repeat(len(row))
                count = len(pictures) // len(row)
                hold = self.cells.atoms_at(pictures, np.tile(row, count), np.tile(col, count)).astype(np.float32)
                sums[wide] += hold.T @ hold
            sums[wide] /= max(len(chosen), 1) * len(row)
        return sums[0], sums[1]


def _pool(renders: Sequence[Any], wide: bool) -> WidePool:
    cells = cells_of_renders(renders)
    return WidePool(np.stack([r.image for r in renders]), cells, np.full(len(renders), wide))


def renders_pool(scenes: Iterable[WideScene]) -> WidePool:
    """Renders of scenes of the wider world."""
    return _pool([render_wide(scene) for scene in scenes], True)


def _world_scene(stream: int, n: int, seed: int, held_out: bool) -> Scene:
    rng = np.random.default_rng((seed, stream, int(held_out), n))
    while True:
        scene = (sample_held_out_scene if held_out else sample_training_scene)(rng)
        if held_out or not any(is_left_out({o.color, o.shape, o.texture, o.size}) for o in scene.objects):
            return scene


def world_pool(count: int, seed: int = 0, held_out: bool = False) -> WidePool:
    """Renders of the world of shapes."""
    return _pool([render(_world_scene(_RENDERED, n, seed, held_out)) for n in range(count)], False)


def wide_scene(n: int, seed: int = 0, held_out: bool = False) -> WideScene:
    """Scene `n` of the pool of the wider world; in training, `FAMILY` scenes in turn have an object of one pair."""
    having = () if held_out else draw_pair(np.random.default_rng((seed, _PAIRS, n // FAMILY)))
    return sample_wide_scene(np.random.default_rng((seed, _WIDE, int(held_out), n)), not held_out, having)


def wide_pool(
    count: int, seed: int = 0, held_out: bool = False, folder: Path | None = None, progress: Progress | None = None
) -> WidePool:
    """Renders of the wider world, kept in `folder` if there is one, in files of `CHUNK`."""
    parts = []
    with (progress or NullProgress()).task("rendering the wider world", count, unit="scene") as bar:
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            path = folder / f"vlm-wide-{seed}-{int(held_out)}-{start}-{stop}.safetensors" if folder else None
            if path and path.exists():
                kept = load_file(path)
                pictures = kept.pop("pictures")
                parts.append(WidePool(pictures, WideCells(**kept), np.ones(len(pictures), bool)))
            else:
                parts.append(_pool([render_wide(wide_scene(n, seed, held_out)) for n in range(start, stop)], True))
                if folder and path:
                    folder.mkdir(parents=True, exist_ok=True)
                    save_file({"pictures": parts[-1].pictures, **parts[-1].cells.arrays()}, path)
            bar.advance(stop - start)
    return WidePool.joined(parts)


def load_painter(weights: Path, model: Model) -> Any:
    """The pipeline of a diffusion model, in float32."""
    from diffusers import FluxPipeline

    from training.shapes.turbo_measure import load_turbo

    if model == "shapes-turbo":
        return load_turbo(weights / "model", weights / "turbo")
    return FluxPipeline.from_pretrained(weights / "model", torch_dtype=torch.float32)


def generated_pictures(
    folder: Path,
    weights: Path,
    model: Model,
    count: int,
    seed: int = 0,
    held_out: bool = False,
    progress: Progress | None = None,
) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Yield pictures that a diffusion model paints, and their captions. Kept in `folder`, in files of `CHUNK`."""
    captions = [_world_scene(_PAINTED, n, seed, held_out).caption for n in range(count)]
    pipeline = None
    first = NOISE_SEEDS + 1_000_000 * (4 * seed + 2 * held_out + (model == "shapes-turbo"))
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        path = folder / f"vlm-{model}-{seed}-{int(held_out)}-{start}-{stop}.safetensors"
        if not path.exists():
            pipeline = pipeline or load_painter(weights, model)
            steps, guidance = STEPS[model]
            sampling = Sampling(steps, guidance, 16, first + start, torch.float32)
            made = generate(pipeline, captions[start:stop], sampling, progress)
            folder.mkdir(parents=True, exist_ok=True)
            # What is saved is memory as it lies: of a transposed array, another picture.
            save_file({"pictures": np.ascontiguousarray(made)}, path)
        yield load_file(path)["pictures"], captions[start:stop]


def generated_pool(
    folder: Path,
    weights: Path,
    model: Model,
    count: int,
    seed: int = 0,
    held_out: bool = False,
    progress: Progress | None = None,
) -> WidePool:
    """Pictures that a diffusion model paints, as the oracle reads them; see `generated_pictures`."""
    oracle, pools = Oracle.load(weights / "oracle"), []
    for pictures, captions in generated_pictures(folder, weights, model, count, seed, held_out, progress):
        cells = cells_of_reading(oracle.read(pictures), captions)
        pools.append(WidePool(pictures, cells, np.zeros(len(pictures), bool)))
    return WidePool.joined(pools)


def world_of_both(
    folder: Path, weights: Path, renders: int, painted: int, seed: int = 0, progress: Progress | None = None
) -> tuple[Pool, WidePool]:
    """Renders and pictures of shapes-turbo twice: with the concepts of the world, and with words of the wider one.

    The renders are others than those of `world_pool` of the same seed, which the eyes have learned.
    """
    drawn = [render(_world_scene(_RENDERED, n, seed + LATER, False)) for n in range(renders)]
    own = [Pool.of(np.stack([one.image for one in drawn]), stack_cells(drawn))]
    wide = [_pool(drawn, False)]
    oracle = Oracle.load(weights / "oracle")
    for pictures, captions in generated_pictures(folder, weights, "shapes-turbo", painted, seed, False, progress):
        read = oracle.read(pictures)
        own.append(Pool.of(pictures, read))
        wide.append(WidePool(pictures, cells_of_reading(read, captions), np.zeros(len(pictures), bool)))
    return joined(own), WidePool.joined(wide)
