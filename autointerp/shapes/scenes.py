"""The world of `shapes`: procedural scenes whose every concept is known, pixel by pixel.

A scene holds one to three objects that do not overlap, on one of four backgrounds. All that a caption can say of a
scene is an attribute with a closed list of values, so the truth of every cell of every render is exact. Rendering is
plain NumPy on signed distances, without fonts or files, so it is the same on every machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

SIZE = 96
"""Side of a render in pixels."""
GRID = 12
"""Cells a side of the token grid: one cell is 8x8 pixels, one token of the shapes model."""

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (250, 222, 60),
    "green": (40, 150, 62),
    "cyan": (70, 210, 215),
    "blue": (40, 72, 205),
    "purple": (125, 50, 165),
    "pink": (248, 140, 190),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
TEXTURES = ("solid", "striped", "dotted")
SIZES: dict[str, float] = {"small": 15.5, "large": 22.0}
"""Radius in pixels of the circle around an object of each size."""
BACKGROUNDS = ("sky", "night", "sand", "checkered")
POSITIONS: dict[str, tuple[float, float]] = {
    "top left": (24.0, 24.0),
    "top right": (72.0, 24.0),
    "bottom left": (24.0, 72.0),
    "bottom right": (72.0, 72.0),
    "center": (48.0, 48.0),
}
"""Mean centre of an object at each position, (x, y) in pixels."""

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "color": tuple(COLORS),
    "shape": SHAPES,
    "texture": TEXTURES,
    "size": tuple(SIZES),
    "background": BACKGROUNDS,
    "part": ("edge", "inside"),
}
"""The attributes of a cell, with the values of each. `part` is the place of the cell in its object."""

OBJECT_COVERAGE = 0.2
"""A cell belongs to an object if the object covers at least this share of its pixels; otherwise it is background."""
INSIDE_COVERAGE = 0.9
"""An object's cell is `inside` if the object covers at least this share of its pixels; otherwise it is `edge`."""

_EDGE_MARGIN = 1.0
_STRIPE_PERIOD = 9.0
_DOT_PITCH = 9.0
_DOT_RADIUS = 2.7


@dataclass(frozen=True)
class SceneObject:
    """An object of a scene: its words, and the jitter within what the words say.

    `x`, `y`, `radius` are in pixels; `phase` (two numbers in [0, 1)) shifts the texture; `tint` is added to the
    colour (three numbers in 8-bit units).
    """

    shape: str
    color: str
    texture: str
    size: str
    position: str
    x: float
    y: float
    radius: float
    phase: tuple[float, float]
    tint: tuple[float, float, float]

    @property
    def phrase(self) -> str:
        """The words of the object, e.g. `large red striped circle top left`."""
        return f"{self.size} {self.color} {self.texture} {self.shape} {self.position}"


@dataclass(frozen=True)
class Scene:
    """A background and one to three objects that do not overlap."""

    objects: tuple[SceneObject, ...]
    background: str
    shade: float
    """Brightness jitter of the background, in 8-bit units."""

    @property
    def caption(self) -> str:
        """The full caption: the phrase of every object in order, then the background."""
        return ", ".join([o.phrase for o in self.objects] + [f"{self.background} background"])

    def spoken(self, rng: np.random.Generator, drop: float = 0.06) -> str:
        """Draw a caption in which each word but an object's shape is left out with probability `drop`."""
        parts = []
        for o in self.objects:
            words = [w for w in (o.size, o.color, o.texture) if rng.random() >= drop]
            words.append(o.shape)
            if rng.random() >= drop:
                words.append(o.position)
            parts.append(" ".join(words))
        if rng.random() >= drop:
            parts.append(f"{self.background} background")
        return ", ".join(parts)


def held_out(caption: str) -> bool:
    """Return whether a caption is kept from all training: one in ten is, by its hash alone."""
    return hashlib.sha256(caption.encode()).digest()[0] < 26


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene: objects at distinct positions, the centre only for a lone object."""
    count = int(rng.choice([1, 2, 3], p=[0.15, 0.35, 0.5]))
    corners = list(POSITIONS)[:4]
    alone = count == 1 and rng.random() < 0.5
    places = ["center"] if alone else [corners[i] for i in rng.permutation(4)[:count]]
    objects = []
    for place in places:
        size = str(rng.choice(list(SIZES), p=[0.4, 0.6]))
        radius = SIZES[size] * rng.uniform(0.95, 1.05)
        slack = 24.0 - _EDGE_MARGIN - radius + (6.0 if place == "center" else 0.0)
        jitter = rng.uniform(-1, 1, 2) * np.clip(slack, 0.0, 5.0)
        objects.append(
            SceneObject(
                shape=str(rng.choice(SHAPES)),
                color=str(rng.choice(list(COLORS))),
                texture=str(rng.choice(TEXTURES)),
                size=size,
                position=place,
                x=POSITIONS[place][0] + jitter[0],
                y=POSITIONS[place][1] + jitter[1],
                radius=radius,
                phase=(float(rng.random()), float(rng.random())),
                tint=tuple(float(v) for v in rng.uniform(-8, 8, 3)),  # type: ignore[arg-type]
            )
        )
    return Scene(tuple(objects), str(rng.choice(BACKGROUNDS)), float(rng.uniform(-8, 8)))


def sample_training_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene whose caption is not held out."""
    while held_out((scene := sample_scene(rng)).caption):
        pass
    return scene


def sample_held_out_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene whose caption no trainer of this package has seen."""
    while not held_out((scene := sample_scene(rng)).caption):
        pass
    return scene


_YY, _XX = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5


def _distance(shape: str, x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    """Return the signed distance in pixels to a shape of radius `r` at the origin; negative inside, y downwards."""
    if shape == "circle":
        return np.hypot(x, y) - r
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.86 * r
    if shape == "triangle":
        side = (1.75 * np.abs(x) - (y + r)) / np.hypot(1.75, 1.0)
        return np.maximum(side, y - 0.75 * r)
    if shape == "star":
        sector = np.pi / 5
        angle = np.abs((np.arctan2(x, -y) + sector) % (2 * sector) - sector)
        radius = np.hypot(x, y)
        px, py = radius * np.cos(angle), radius * np.sin(angle)
        inner = 0.45 * r
        ex, ey = inner * np.cos(sector) - r, inner * np.sin(sector)
        return ((px - r) * ey - py * ex) / np.hypot(ex, ey)
    if shape == "cross":
        ax, ay, w, h = np.abs(x), np.abs(y), 0.34 * r, 0.97 * r
        return np.minimum(np.maximum(ax - w, ay - h), np.maximum(ax - h, ay - w))
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.7 * r) - 0.3 * r
    raise ValueError(f"no such shape: {shape}")


def _paint_background(scene: Scene) -> np.ndarray:
    """Paint the background alone, float32 [SIZE, SIZE, 3] in 8-bit units."""
    y = _YY[..., None] / SIZE
    if scene.background == "sky":
        image = (1 - y) * np.array([150, 195, 240], np.float32) + y * np.array([225, 238, 250], np.float32)
    elif scene.background == "night":
        image = (1 - y) * np.array([16, 18, 42], np.float32) + y * np.array([34, 36, 66], np.float32)
    elif scene.background == "sand":
        wave = np.sin(2 * np.pi * (_YY / 16 + 0.35 * np.sin(2 * np.pi * _XX / 48)))[..., None]
        image = np.array([205, 180, 140], np.float32) + 9.0 * wave * np.ones(3, np.float32)
    elif scene.background == "checkered":
        board = ((_XX // 16).astype(int) + (_YY // 16).astype(int)) % 2
        image = np.where(board[..., None] == 0, np.float32(118), np.float32(150)) * np.ones(3, np.float32)
    else:
        raise ValueError(f"no such background: {scene.background}")
    return image + np.float32(scene.shade)


def _paint_texture(obj: SceneObject, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Paint the object's surface over the whole canvas, float32 [SIZE, SIZE, 3] in 8-bit units."""
    base = np.array(COLORS[obj.color], np.float32) + np.array(obj.tint, np.float32)
    if obj.texture == "solid":
        ink = np.zeros_like(x)
    elif obj.texture == "striped":
        band = np.abs(((y / _STRIPE_PERIOD + obj.phase[0]) % 1.0) - 0.5) * _STRIPE_PERIOD
        ink = np.clip(_STRIPE_PERIOD * 0.21 - band + 0.5, 0, 1)
    elif obj.texture == "dotted":
        u = ((x / _DOT_PITCH + obj.phase[0]) % 1.0 - 0.5) * _DOT_PITCH
        v = ((y / _DOT_PITCH + obj.phase[1]) % 1.0 - 0.5) * _DOT_PITCH
        ink = np.clip(_DOT_RADIUS - np.hypot(u, v) + 0.5, 0, 1)
    else:
        raise ValueError(f"no such texture: {obj.texture}")
    white = np.array([250, 250, 246], np.float32)
    return base + ink[..., None] * (white - base)


@dataclass(frozen=True)
class Render:
    """A drawn scene: the picture and its truth.

    `image`: uint8 [SIZE, SIZE, 3]. `coverage`: float32 [objects, SIZE, SIZE], the share of each pixel that each
    object covers.
    """

    scene: Scene
    image: np.ndarray
    coverage: np.ndarray

    def masks(self) -> dict[str, np.ndarray]:
        """Return the exact mask of every concept word of the scene, bool [SIZE, SIZE]."""
        solid = self.coverage > 0.5
        masks: dict[str, np.ndarray] = {}
        for obj, mask in zip(self.scene.objects, solid, strict=True):
            for word in (obj.color, obj.shape, obj.texture, obj.size, obj.position, "object"):
                masks[word] = masks[word] | mask if word in masks else mask
        masks[self.scene.background] = np.logical_not(solid.any(axis=0))
        return masks

    def cells(self) -> dict[str, np.ndarray]:
        """Return the value of each attribute in each cell: int64 [GRID, GRID], an index into `ATTRIBUTES`, -1 for none.

        `background` holds in cells of no object; all other attributes in cells of an object.
        """
        step = SIZE // GRID
        share = self.coverage.reshape(len(self.coverage), GRID, step, GRID, step).mean((2, 4))
        owner, best = share.argmax(0), share.max(0)
        here = best >= OBJECT_COVERAGE
        cells: dict[str, np.ndarray] = {}
        for name in ("color", "shape", "texture", "size"):
            index = np.array([ATTRIBUTES[name].index(getattr(o, name)) for o in self.scene.objects])
            cells[name] = np.where(here, index[owner], -1)
        cells["part"] = np.where(here, (best >= INSIDE_COVERAGE).astype(np.int64), -1)
        cells["background"] = np.where(here, -1, BACKGROUNDS.index(self.scene.background))
        return cells


def render(scene: Scene) -> Render:
    """Draw a scene, with edges that are soft over one pixel."""
    image = _paint_background(scene)
    coverage = np.zeros((len(scene.objects), SIZE, SIZE), np.float32)
    for i, obj in enumerate(scene.objects):
        x, y = _XX - np.float32(obj.x), _YY - np.float32(obj.y)
        coverage[i] = np.clip(0.5 - _distance(obj.shape, x, y, obj.radius), 0, 1)
        image += coverage[i][..., None] * (_paint_texture(obj, x, y) - image)
    return Render(scene, np.clip(np.rint(image), 0, 255).astype(np.uint8), coverage)
