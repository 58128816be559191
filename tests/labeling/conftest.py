"""Pictures of flat colours, features over them, and an embedder that knows colours: exact, small, repeatable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from PIL import Image

from autointerp.labeling.judging.controls import CoinJudge, ControlJudge, OracleJudge, YesJudge
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, LayerContext

from .openai_server import ScriptedServer

COLORS = {
    "red": (220, 20, 20),
    "green": (20, 200, 20),
    "blue": (20, 20, 220),
    "yellow": (230, 230, 20),
    "white": (245, 245, 245),
    "black": (10, 10, 10),
}
CORNERS = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}
GRID = (8, 8)
CONTROL_JUDGES: dict[str, type[ControlJudge]] = {judge.model: judge for judge in (OracleJudge, CoinJudge, YesJudge)}


class ColorEmbedder:
    """One axis a colour: a picture's share of pixels near each colour; a text's colour words. Other texts are noise."""

    name = "colors"
    dim = len(COLORS) + 16

    def __init__(self) -> None:
        self.images_seen = 0

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        rows = []
        for text in texts:
            row = np.zeros(self.dim, np.float32)
            for i, color in enumerate(COLORS):
                row[i] = color in text.split()
            if not row.any():
                seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
                row = np.random.default_rng(seed).normal(size=self.dim).astype(np.float32)
            rows.append(row / np.linalg.norm(row))
        return np.array(rows, np.float32).reshape(-1, self.dim)

    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        self.images_seen += len(images)
        rows = []
        palette = np.array(list(COLORS.values()), np.float32)
        for image in images:
            pixels = np.asarray(image.convert("RGB"), np.float32).reshape(-1, 3)
            nearest = np.square(pixels[:, None] - palette[None]).sum(2).argmin(1)
            row = np.zeros(self.dim, np.float32)
            row[: len(COLORS)] = np.bincount(nearest, minlength=len(COLORS)) / len(pixels)
            texture = np.random.default_rng(int(pixels.sum()) % 2**31).normal(size=self.dim - len(COLORS))
            row[len(COLORS) :] = 0.05 * texture
            rows.append(row / np.linalg.norm(row))
        return np.array(rows, np.float32).reshape(-1, self.dim)


class World:
    """Images of two coloured corners on white or black, with prompts that say so."""

    def __init__(self, images: int = 160, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.images: list[tuple[Image.Image, str, dict[str, str]]] = []
        for _ in range(images):
            ground = str(rng.choice(["white", "black"]))
            picture = Image.new("RGB", (64, 64), COLORS[ground])
            corners = {}
            for corner in rng.permutation(list(CORNERS))[:2]:
                color = str(rng.choice(["red", "green", "blue", "yellow"]))
                row, col = CORNERS[str(corner)]
                picture.paste(COLORS[color], (col * 32 + 4, row * 32 + 4, col * 32 + 28, row * 32 + 28))
                corners[str(corner)] = color
            said = ", ".join(f"large {color} patch {corner}" for corner, color in corners.items())
            self.images.append((picture, f"{said}, {ground} background", corners | {"ground": ground}))

    def crop(self, image: int, cell: tuple[int, int], activation: float) -> CropEvidence:
        picture, prompt, _ = self.images[image]
        box = (max(cell[1] * 8 - 8, 0), max(cell[0] * 8 - 8, 0), min(cell[1] * 8 + 16, 64), min(cell[0] * 8 + 16, 64))
        maps = np.zeros(GRID, np.float32)
        maps[cell] = activation
        key = image * 64 + cell[0] * 8 + cell[1]
        return CropEvidence(key, image, prompt, picture, box, GRID, cell, activation, maps, "top")

    def where(self, holds: Callable[[str, str], bool]) -> list[tuple[int, tuple[int, int]]]:
        """The central cell of each corner for which `holds(colour, corner)` is true."""
        found = []
        for i, (_, _, truth) in enumerate(self.images):
            for corner, (row, col) in CORNERS.items():
                if corner in truth and holds(truth[corner], corner):
                    found.append((i, (row * 4 + 2, col * 4 + 2)))
        return found

    def feature(self, index: int, cells: Sequence[tuple[int, tuple[int, int]]], n: int = 16) -> FeatureEvidence:
        strengths = np.linspace(2.0, 1.0, min(n, len(cells)))
        crops = tuple(self.crop(i, cell, float(a)) for (i, cell), a in zip(cells, strengths, strict=False))
        return FeatureEvidence(f"t:{index}", index, 0.01, crops)

    def context(self, n: int = 400, seed: int = 1) -> LayerContext:
        rng = np.random.default_rng(seed)
        cells = self.where(lambda color, corner: True)
        drawn = [cells[i] for i in rng.integers(len(cells), size=n)]
        return LayerContext(tuple(self.crop(i, c, 1.0) for i, c in drawn), tuple(p for _, p, _ in self.images))

    def anywhere(self, n: int, seed: int) -> list[tuple[int, tuple[int, int]]]:
        rng = np.random.default_rng(seed)
        return [(int(rng.integers(len(self.images))), (int(rng.integers(8)), int(rng.integers(8)))) for _ in range(n)]


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture
def embedder() -> ColorEmbedder:
    return ColorEmbedder()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running
