"""Scenes of the wider world, and their renders: the same rules as in `autointerp.shapes.scenes`, with more words.

Whatever the world of shapes has is drawn by its own renderer: the shapes, textures and backgrounds of its words are
the same pixels here. One caption in ten is held out to measure on, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.shapes.scenes import (
    ATTRIBUTES,
    COLORS as WORLD_COLORS,
    POSITIONS,
    SIZE,
    Render,
    Scene,
    SceneObject,
    held_out,
    render,
)
from training.shapes.wide.backdrops import BACKDROPS, XX, YY
from training.shapes.wide.outlines import OUTLINES
from training.shapes.wide.patterns import DARK_ON, Surface, ink, ink_color
from training.shapes.wide.words import (
    BACKGROUNDS,
    COLORS,
    EXCLUSIVE,
    KIND_OF,
    LOOKS,
    NEVER_SEEN,
    PATTERNS,
    SHAPES,
    SIZES,
    is_left_out,
)

OF_WORLD = 0.3
"""Share of the draws of an attribute that are of the world's own values: what is like them must be told from them."""
_MARGIN = 1.0
_COVERS_ALL = 400.0
"""Radius in pixels of a square that covers the whole picture wherever its centre is."""


@dataclass(frozen=True)
class WideObject:
    """An object of the wider world: its words, and the jitter within what the words say, as in `SceneObject`."""

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
    def words(self) -> frozenset[str]:
        """The words of its look."""
        return frozenset((self.shape, self.color, self.texture, self.size))

    @property
    def phrase(self) -> str:
        """All words, in the order of captions."""
        return f"{self.size} {self.color} {self.texture} {self.shape} {self.position}"


@dataclass(frozen=True)
class WideScene:
    """A background and one to three objects that do not overlap."""

    objects: tuple[WideObject, ...]
    background: str
    shade: float
    noise: int
    """Seed of what is random in the background."""

    @property
    def caption(self) -> str:
        """The phrase of every object, then the background."""
        return ", ".join([o.phrase for o in self.objects] + [f"{self.background} background"])


@dataclass(frozen=True)
class WideRender:
    """A drawn scene. `image`: uint8 [SIZE, SIZE, 3]; `coverage`: float32 [objects, SIZE, SIZE]."""

    scene: WideScene
    image: np.ndarray
    coverage: np.ndarray


def _drawn(values: tuple[str, ...], own: tuple[str, ...], rng: np.random.Generator) -> str:
    return str(rng.choice(own if rng.random() < OF_WORLD else values))


def _sample(rng: np.random.Generator, having: Sequence[str] = ()) -> WideScene:
    count = int(rng.choice([1, 2, 3], p=[0.2, 0.35, 0.45]))
    corners = list(POSITIONS)[:4]
    count = 1 if "huge" in having else count
    alone = count == 1 and (rng.random() < 0.6 or "huge" in having)
    objects: list[WideObject] = []
    for place in ["center"] if alone else [corners[i] for i in rng.permutation(4)[:count]]:
        sizes = ["mini", "small", "large", *(["huge"] if alone else [])]
        size = str(rng.choice(sizes, p=[0.15, 0.25, 0.35, 0.25] if alone else [0.2, 0.35, 0.45]))
        wanted = {} if objects else {KIND_OF[word]: word for word in having}
        size = wanted.get("size", size)
        radius = SIZES[size] * rng.uniform(0.95, 1.05)
        slack = (SIZE / 2 if alone else SIZE / 4) - _MARGIN - radius
        jitter = rng.uniform(-1, 1, 2) * np.clip(slack, 0.0, 5.0)
        objects.append(
            WideObject(
                shape=wanted.get("shape", _drawn(SHAPES, ATTRIBUTES["shape"], rng)),
                color=wanted.get("color", _drawn(tuple(COLORS), ATTRIBUTES["color"], rng)),
                texture=wanted.get("texture", _drawn(PATTERNS, ATTRIBUTES["texture"], rng)),
                size=size,
                position=place,
                x=POSITIONS[place][0] + jitter[0],
                y=POSITIONS[place][1] + jitter[1],
                radius=radius,
                phase=(float(rng.random()), float(rng.random())),
                tint=tuple(float(v) for v in rng.uniform(-7, 7, 3)),  # type: ignore[arg-type]
            )
        )
    background = _drawn(BACKGROUNDS, ATTRIBUTES["background"], rng)
    background = next((word for word in having if KIND_OF[word] == "background"), background)
    return WideScene(tuple(objects), background, float(rng.uniform(-8, 8)), int(rng.integers(2**31)))


def is_for_training(scene: WideScene) -> bool:
    """Return whether training may see a scene: no pair that is left out, no word that is never seen, no held-out
    caption.
    """
    words = [o.words for o in scene.objects]
    unseen = any(is_left_out(w) for w in words) or scene.background in NEVER_SEEN
    return not unseen and not held_out(scene.caption)


def draw_pair(rng: np.random.Generator) -> tuple[str, str]:
    """Draw two words of different kinds that an object may have together in training."""
    while True:
        kinds = rng.choice(len(LOOKS), 2, replace=False)
        one, other = (str(rng.choice(EXCLUSIVE[LOOKS[kind]])) for kind in kinds)
        if not is_left_out({one, other}):
            return one, other


def sample_wide_scene(rng: np.random.Generator, training: bool = True, having: Sequence[str] = ()) -> WideScene:
    """Draw a scene that training may see, or one whose caption is held out, with any words and pairs.

    The first object has the words `having`, at most one of each kind of a look, or the scene that background.
    """
    while True:
        scene = _sample(rng, having)
        if is_for_training(scene) if training else held_out(scene.caption):
            return scene


def _covered(obj: WideObject) -> tuple[np.ndarray, np.ndarray]:
    """The distance to an object's outline in pixels (guessed for shapes of the world) and its coverage."""
    x, y = XX - np.float32(obj.x), YY - np.float32(obj.y)
    if obj.shape in OUTLINES:
        distance = OUTLINES[obj.shape](x / obj.radius, y / obj.radius) * np.float32(obj.radius)
        return distance, np.clip(0.5 - distance, 0, 1)
    coverage = _of_world(obj, obj.shape, "solid", obj.radius).coverage[0]
    return _depth(coverage), coverage


def _depth(coverage: np.ndarray) -> np.ndarray:
    """The distance in pixels to what is not covered, negative, 5 at most."""
    inside = coverage > 0.5
    depth = np.where(inside, -0.5, 0.5)
    for _ in range(5):
        padded = np.pad(inside, 1)
        inside = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        depth = depth - inside
    return depth


def _of_world(obj: WideObject, shape: str, texture: str, radius: float) -> Render:
    """An object as the world's renderer draws it: any colour is a tint of one that it knows."""
    base = np.array(WORLD_COLORS["red"], np.float64)
    tint = tuple(float(v) for v in np.array(COLORS[obj.color], np.float64) - base + np.array(obj.tint))
    thing = SceneObject(
        shape, "red", texture, "large", obj.position, obj.x, obj.y, radius, obj.phase, tint  # type: ignore[arg-type]
    )  # fmt: skip
    return render(Scene((thing,), "sky", 0.0))


def _surface(obj: WideObject, distance: np.ndarray) -> np.ndarray:
    """An object's surface over the whole canvas, float32 [SIZE, SIZE, 3] in 8-bit units."""
    color = np.array(COLORS[obj.color], np.float32) + np.array(obj.tint, np.float32)
    if obj.texture in ATTRIBUTES["texture"]:
        painted = _of_world(obj, "square", obj.texture, _COVERS_ALL).image.astype(np.float32)
        if color.mean() <= DARK_ON or obj.color in WORLD_COLORS:
            return painted
        # White ink on a light colour of the wider world is made dark.
        most = np.abs(np.array([250, 250, 246], np.float32) - color).sum()
        share = np.clip(np.abs(painted - color).sum(-1) / max(most, 1), 0, 1)
        return color + share[..., None] * (ink_color("dotted", color) - color)
    where = Surface(XX - np.float32(obj.x), YY - np.float32(obj.y), obj.radius, distance, obj.phase)
    share = ink(obj.texture, where)[..., None]
    return color + share * (ink_color(obj.texture, color) - color)


def _background(scene: WideScene) -> np.ndarray:
    if scene.background in BACKDROPS:
        painted = BACKDROPS[scene.background](np.random.default_rng((scene.noise, 71)))
        return painted.astype(np.float32) + np.float32(scene.shade)
    return render(Scene((), scene.background, scene.shade)).image.astype(np.float32)


def render_wide(scene: WideScene) -> WideRender:
    """Draw a scene, with edges that are soft over one pixel."""
    image = _background(scene)
    coverage = np.zeros((len(scene.objects), SIZE, SIZE), np.float32)
    for i, obj in enumerate(scene.objects):
        distance, coverage[i] = _covered(obj)
        image = image + coverage[i][..., None] * (_surface(obj, distance) - image)
    return WideRender(scene, np.clip(np.rint(image), 0, 255).astype(np.uint8), coverage)
