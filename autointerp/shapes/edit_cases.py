"""Edits of pictures of the shapes world: cases of nine kinds, where each happens, and what became of it.

A case is two captions that differ in one thing, in the form of RIEBench's cases (arXiv 2410.22366): the picture of the
first is to become like that of the second inside a region, and to stay as it is elsewhere. The region follows from
what the oracle reads in both pictures, so it is as exact as the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from autointerp.diffusion.sources.protocol import HELD_OUT_SEEDS
from autointerp.shapes.concepts import LEAST_CELLS, REGIONS
from autointerp.shapes.scenes import (
    ATTRIBUTES,
    BACKGROUNDS,
    GRID,
    POSITIONS,
    SIZES,
    Scene,
    SceneObject,
    held_out,
    sample_held_out_scene,
    sample_scene,
)
from autointerp.worlds import EditCase, EditVerdict, SceneFacts

LOOKS = ("color", "shape", "texture", "size")
"""Attributes of objects; each is a kind of edit of its own."""
KINDS = ("color", "shape", "texture", "size", "background", "position", "add", "remove", "replace")
"""Kinds of edits, in the order in which cases take turns."""
KEPT = (*LOOKS, "background")
"""Attributes of a cell that an edit must keep outside of its region."""
MAJORITY = 0.5
"""A wanted value is reached if more than so many of the cells in question have it."""

_INSIDE = ATTRIBUTES["part"].index("inside")
_STREAM = 61
"""Number that parts the random draws of cases from others."""
_SEEDS = HELD_OUT_SEEDS + 5_000_000
"""The first seed of the cases' pictures."""
_TRIES = 12
"""Changes of one scene that are drawn before another scene is."""
_CORNERS = tuple(POSITIONS)[:4]


class ShapesEdits:
    """The edit bench of the shapes world."""

    def cases(self, count: int, seed: int) -> list[EditCase]:
        """Return the first `count` cases of a seed; their kinds take turns, and their captions are held out."""
        return [draw_case(n, seed)[0] for n in range(count)]

    def region(self, case: EditCase, source: SceneFacts, target: SceneFacts) -> np.ndarray | None:
        """Return the cells in which a case happens, bool [12, 12].

        Args:
            case: The case.
            source: What was read in the picture of the first caption.
            target: What was read in the picture of the second.

        Returns:
            The cells; None where the first picture does not show what its caption says there.
        """
        if not self.shows(case, source):
            return None
        here, there = (facts.cells["part"] >= 0 for facts in (source, target))
        if case.kind == "background":
            # The cells at the edges of objects show some background too.
            return source.cells["part"] != _INSIDE
        region = np.zeros((GRID, GRID), bool)
        for place in dict.fromkeys((case.place, case.goal)):
            region |= _quadrant(place) & (here | there)
        # The outline of the object changes, so the cells around it take part.
        return region if case.kind in ("color", "texture") else _dilated(region) & _places(case)

    def shows(self, case: EditCase, facts: SceneFacts) -> bool:
        """Return whether the picture of the first caption shows what the caption says where the edit happens."""
        if case.kind == "background":
            inside = (facts.cells["part"] == _INSIDE).sum()
            return inside >= LEAST_CELLS and _share(facts, facts.cells["part"] < 0, case.present) > MAJORITY
        if case.kind == "add":
            return _objects(facts, case.place).sum() < LEAST_CELLS
        return _has(facts, case.place, case.present)

    def verdict(self, case: EditCase, region: np.ndarray, source: SceneFacts, edited: SceneFacts) -> EditVerdict:
        """Return what became of a case.

        Args:
            case: The case.
            region: Where it happened, bool [12, 12].
            source: What was read in the picture before the edit.
            edited: What was read in the picture after it.
        """
        if case.kind == "background":
            reached = _share(edited, source.cells["part"] < 0, case.wanted) > MAJORITY
        else:
            reached = True
            if case.wanted:
                reached = _has(edited, case.goal, case.wanted)
            if case.kind in ("position", "remove"):
                reached = reached and _objects(edited, case.place).sum() < LEAST_CELLS
        same = np.ones((GRID, GRID), bool)
        for name in KEPT:
            same &= source.cells[name] == edited.cells[name]
        outside = ~region
        return EditVerdict(bool(reached), float(same[outside].mean()) if outside.any() else 1.0, edited.valid)


def draw_case(n: int, seed: int) -> tuple[EditCase, Scene, Scene]:
    """Draw case `n` of a seed, with the scenes of both captions. Both captions are held out of all training."""
    kind, rng = KINDS[n % len(KINDS)], np.random.default_rng((seed, _STREAM, n))
    while (drawn := _drawn(kind, sample_held_out_scene(rng), rng)) is None:
        pass
    source, target, about = drawn
    case = EditCase(f"{kind}-{n}", kind, source.caption, target.caption, _SEEDS + 1000 * seed + n, **about)
    return case, source, target


def _drawn(kind: str, scene: Scene, rng: np.random.Generator) -> _Drawn | None:
    """Draw a change of a scene whose caption is held out as well; None if there is none among a few."""
    for _ in range(_TRIES):
        drawn = _DRAWN.get(kind, _look)(kind, scene, rng)
        if drawn is not None and held_out(drawn[1].caption):
            return drawn
    return None


_Drawn = tuple[Scene, Scene, dict]  # type: ignore[type-arg]


def _other(values: tuple[str, ...], old: str, rng: np.random.Generator) -> str:
    return str(rng.choice([value for value in values if value != old]))


def _changed(scene: Scene, at: int, new: SceneObject) -> Scene:
    return replace(scene, objects=(*scene.objects[:at], new, *scene.objects[at + 1 :]))


def _with(one: SceneObject, **words: str) -> SceneObject:
    """Return an object with other words, and what follows from them: where it is, and how large."""
    changed: Any = dict(words)
    if "position" in words or "size" in words:
        changed["x"], changed["y"] = POSITIONS[words.get("position", one.position)]
        changed["radius"] = SIZES[words.get("size", one.size)]
    return replace(one, **changed)


def _words(one: SceneObject, *names: str) -> dict[str, str]:
    return {name: getattr(one, name) for name in names}


def _look(kind: str, scene: Scene, rng: np.random.Generator) -> _Drawn:
    at = int(rng.integers(len(scene.objects)))
    one = scene.objects[at]
    old = getattr(one, kind)
    new = _other(ATTRIBUTES[kind], old, rng)
    about = {
        "source_phrase": _noun(one),
        "target_phrase": _noun(_with(one, **{kind: new})),
        "instruction": f"Make the {_noun(one)} {new}" if kind != "shape" else f"Turn the {_noun(one)} into a {new}",
        "present": {kind: old},
        "wanted": {kind: new},
        "place": one.position,
        "goal": one.position,
    }
    return scene, _changed(scene, at, _with(one, **{kind: new})), about


def _background(kind: str, scene: Scene, rng: np.random.Generator) -> _Drawn:
    new = _other(BACKGROUNDS, scene.background, rng)
    about = {
        "source_phrase": f"{scene.background} background",
        "target_phrase": f"{new} background",
        "instruction": f"Make the background {new}",
        "present": {kind: scene.background},
        "wanted": {kind: new},
    }
    return scene, replace(scene, background=new), about


def _free(scene: Scene, rng: np.random.Generator) -> str | None:
    """Draw a corner without an object; None where an object is at the centre, which leaves no room."""
    taken = {one.position for one in scene.objects}
    free = [corner for corner in _CORNERS if corner not in taken]
    return None if "center" in taken or not free else str(rng.choice(free))


def _position(kind: str, scene: Scene, rng: np.random.Generator) -> _Drawn | None:
    del kind
    at, corner = int(rng.integers(len(scene.objects))), _free(scene, rng)
    if corner is None:
        return None
    one = scene.objects[at]
    about = {
        "source_phrase": f"{_noun(one)} {one.position}",
        "target_phrase": f"{_noun(one)} {corner}",
        "instruction": f"Move the {_noun(one)} to the {corner}",
        "present": _words(one, "color", "shape"),
        "wanted": _words(one, "color", "shape"),
        "place": one.position,
        "goal": corner,
    }
    return scene, _changed(scene, at, _with(one, position=corner)), about


def _add(kind: str, scene: Scene, rng: np.random.Generator) -> _Drawn | None:
    del kind
    corner = _free(scene, rng)
    if corner is None or len(scene.objects) > 2:
        return None
    new = _with(sample_scene(rng).objects[0], position=corner)
    about = {
        "source_phrase": "",
        "target_phrase": _noun(new),
        "instruction": f"Add a {_noun(new)} {corner}",
        "present": {},
        "wanted": _words(new, "color", "shape"),
        "place": corner,
        "goal": corner,
    }
    return scene, replace(scene, objects=(*scene.objects, new)), about


def _remove(kind: str, scene: Scene, rng: np.random.Generator) -> _Drawn | None:
    del kind
    if len(scene.objects) < 2:
        return None
    at = int(rng.integers(len(scene.objects)))
    one = scene.objects[at]
    about = {
        "source_phrase": _noun(one),
        "target_phrase": "",
        "instruction": f"Remove the {_noun(one)} {one.position}",
        "present": _words(one, "color", "shape"),
        "wanted": {},
        "place": one.position,
        "goal": one.position,
    }
    return scene, replace(scene, objects=scene.objects[:at] + scene.objects[at + 1 :]), about


def _replace(kind: str, scene: Scene, rng: np.random.Generator) -> _Drawn:
    del kind
    at = int(rng.integers(len(scene.objects)))
    one = scene.objects[at]
    words = {name: _other(ATTRIBUTES[name], getattr(one, name), rng) for name in ("color", "texture", "shape")}
    new = _with(one, **words)
    about = {
        "source_phrase": _noun(one),
        "target_phrase": _noun(new),
        "instruction": f"Replace the {_noun(one)} with a {_noun(new)}",
        "present": _words(one, "color", "shape"),
        "wanted": _words(new, "color", "shape"),
        "place": one.position,
        "goal": one.position,
    }
    return scene, _changed(scene, at, new), about


_DRAWN: dict[str, Callable[[str, Scene, np.random.Generator], _Drawn | None]] = {
    "background": _background,
    "position": _position,
    "add": _add,
    "remove": _remove,
    "replace": _replace,
}


def _noun(one: SceneObject) -> str:
    return f"{one.size} {one.color} {one.texture} {one.shape}"


def _quadrant(place: str) -> np.ndarray:
    """Return the cells that an object of a place may cover: its quadrant, or all cells around the centre."""
    mask = np.zeros((GRID, GRID), bool)
    if place == "center":
        mask[2 : GRID - 2, 2 : GRID - 2] = True
    else:
        mask[REGIONS[place]] = True
    return mask


def _places(case: EditCase) -> np.ndarray:
    return _quadrant(case.place) | _quadrant(case.goal)


def _dilated(mask: np.ndarray) -> np.ndarray:
    """Return a mask with the eight cells around each of its cells."""
    padded = np.pad(mask, 1)
    rows, cols = mask.shape
    return np.logical_or.reduce([padded[r : r + rows, c : c + cols] for r in range(3) for c in range(3)])


def _objects(facts: SceneFacts, place: str) -> np.ndarray:
    return _quadrant(place) & (facts.cells["part"] >= 0)


def _share(facts: SceneFacts, where: np.ndarray, words: Mapping[str, str]) -> float:
    """Return the smallest share of cells with the value of each attribute; 0 where there are no cells."""
    if not where.any():
        return 0.0
    return min(float((facts.cells[name][where] == ATTRIBUTES[name].index(word)).mean()) for name, word in words.items())


def _has(facts: SceneFacts, place: str, words: Mapping[str, str]) -> bool:
    """Return whether there is an object at a place, most of whose cells have each word."""
    where = _objects(facts, place)
    return bool(where.sum() >= LEAST_CELLS) and _share(facts, where, words) > MAJORITY
