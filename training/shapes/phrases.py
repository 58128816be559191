"""Crops of renders, phrases of every granularity, and which phrase is true of which crop.

A crop is seen by its window's central cell: what holds there is what the crop is of. The window of the whole
picture is seen as a scene: a phrase is true of it if it is true of any object. Truth has three values: a phrase
may also ask for what a crop cannot show (where in the picture it was cut from), and is then not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from autointerp.shapes.scenes import ATTRIBUTES, BACKGROUNDS, GRID, POSITIONS, SIZE, Render

SIDE = 48
"""Side in pixels of what the image encoder is shown."""
PATCHES = 6
"""Patches a side that it sees it as."""
PATCH_FIELDS = ("size", "color", "texture", "shape", "part", "background")

FIELDS: dict[str, tuple[str, ...]] = {
    "size": ATTRIBUTES["size"],
    "color": ATTRIBUTES["color"],
    "texture": ATTRIBUTES["texture"],
    "shape": ATTRIBUTES["shape"],
    "position": tuple(POSITIONS),
    "part": ATTRIBUTES["part"],
    "background": BACKGROUNDS,
}
"""What a phrase can ask for, in the order it says it."""
ANY = -1
HIDDEN = -2
ABSENT = -3
ANY_BACKGROUND = len(BACKGROUNDS)
MOST_CLAUSES = 4
MOST_THINGS = 3
_COLUMN = {name: i for i, name in enumerate(FIELDS)}

Clause = tuple[int, ...]
"""One demand: for each of FIELDS the index of the value asked for, or ANY."""


@dataclass(frozen=True)
class Phrase:
    """Words and what they demand: every clause must be met by some object, or by the background.

    A phrase without clauses is foreign to the world: true of nothing.
    """

    text: str
    clauses: tuple[Clause, ...]


def clause(**values: str) -> Clause:
    """A demand by the values' words; `background="any"` asks for a background alone."""
    indices = {name: ANY_BACKGROUND if word == "any" else FIELDS[name].index(word) for name, word in values.items()}
    return tuple(indices.get(name, ANY) for name in FIELDS)


def words_of(values: dict[str, str], rng: np.random.Generator) -> str:
    """One natural way to say an object clause."""
    said = [values[name] for name in ("size", "color", "texture", "shape") if name in values]
    part, position = values.get("part"), values.get("position")
    bare = "shape" not in values and (not said or rng.random() < 0.25) and not (position and not said)
    if bare and (not part or said or rng.random() < 0.3):
        said.append("object")
    if position:
        said.append(position if rng.random() < 0.7 or not said else f"{rng.choice(['at', 'in'])} the {position}")
    text = " ".join(said)
    if rng.random() < 0.2 and ("shape" in values or "object" in said):
        text = ("an " if text[0] in "aeiou" else "a ") + text
    if part:
        if not text:
            return part
        if part == "inside" or rng.random() < 0.7 or "shape" in values:
            return f"{'the ' if rng.random() < 0.1 else ''}{part} of {text}"
        return f"{text} {part}" if "object" not in said else f"{part} of {text}"
    return text


def background_words(value: str, rng: np.random.Generator) -> str:
    """One natural way to say a background."""
    text = "background" if value == "any" else value if rng.random() < 0.4 else f"{value} background"
    return f"a {text}" if rng.random() < 0.1 and text.endswith("background") else text


def object_phrase(values: dict[str, str], rng: np.random.Generator) -> Phrase:
    """A phrase about one object."""
    return Phrase(words_of(values, rng), (clause(**values),))


def background_phrase(value: str, rng: np.random.Generator) -> Phrase:
    """A phrase about the background."""
    return Phrase(background_words(value, rng), (clause(background=value),))


SINGLES: tuple[Phrase, ...] = (
    *(Phrase(word, (clause(**{name: word}),)) for name in FIELDS if name != "background" for word in FIELDS[name]),
    *(Phrase(word, (clause(background=word),)) for word in BACKGROUNDS),
    Phrase("object", (clause(),)),
    Phrase("background", (clause(background="any"),)),
)
"""Every word and position phrase of the world alone."""


def foreign_phrase(rng: np.random.Generator) -> Phrase:
    """Words that the world does not know, alone or among its own; all lower-case, at most two of them."""

    def word() -> str:
        if rng.random() < 0.25:
            return "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 9)))
        syllables = rng.integers(1, 4)
        text = "".join(str(rng.choice(_ONSETS)) + str(rng.choice(_RIMES)) for _ in range(syllables))
        return text + str(rng.choice(["", "", "s", "ing", "ed", "er", "ly"]))

    kind = rng.random()
    if kind < 0.4:
        return Phrase(word(), ())
    if kind < 0.6:
        return Phrase(f"{word()} {word()}", ())
    name = str(rng.choice(list(FIELDS)))
    own = str(rng.choice(FIELDS[name]))
    if kind < 0.8:
        return Phrase(f"{own} {word()}", ())
    return Phrase(f"{word()} {own}", ())


_ONSETS = ["", "b", "br", "c", "ch", "d", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pl", "qu"]
_ONSETS += ["r", "s", "sh", "st", "t", "th", "tr", "v", "w", "z"]
_RIMES = ["a", "ack", "ain", "an", "and", "ar", "at", "e", "ea", "ell", "en", "er", "est", "i", "ice", "ick"]
_RIMES += ["ill", "in", "ing", "ion", "o", "oat", "ock", "ol", "oo", "or", "ound", "ow", "u", "ug", "un", "y"]


@dataclass(frozen=True)
class TrueWindow:
    """A window of a picture, with what is true of it.

    `picture`: uint8 [48, 48, 3]. `things`: one row of FIELDS values an object seen (the background's column is
    ABSENT). `background`: index of the background seen, or ABSENT. `patches`: what holds in the middle of each patch
    of the picture, int64 [6, 6, PATCH_FIELDS], -1 where none: no phrase asks for it, but training does.
    """

    picture: np.ndarray
    things: tuple[tuple[int, ...], ...]
    background: int
    patches: np.ndarray


def cut(picture: Image.Image, box: tuple[float, float, float, float]) -> np.ndarray:
    """A window (left, top, right, bottom) as the image encoder sees it, uint8 [48, 48, 3]."""
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box))


def window(row: int, col: int, side: int) -> tuple[tuple[float, float, float, float], tuple[int, int]]:
    """The box in pixels of a window of `side` cells around a cell, shifted into the picture, and its central cell."""
    step = SIZE // GRID
    top = min(max(row + 0.5 - side / 2, 0), GRID - side)
    left = min(max(col + 0.5 - side / 2, 0), GRID - side)
    box = (left * step, top * step, (left + side) * step, (top + side) * step)
    return box, (int(top + side / 2), int(left + side / 2))


def patch_truth(cells: dict[str, np.ndarray], box: tuple[float, float, float, float]) -> np.ndarray:
    """What holds in the middle of each patch of a window, int64 [6, 6, PATCH_FIELDS]."""
    middles = (np.arange(PATCHES) + 0.5) / PATCHES * (box[2] - box[0])
    step = SIZE // GRID
    rows, cols = ((box[1] + middles) // step).astype(int), ((box[0] + middles) // step).astype(int)
    return np.stack([cells[name][np.ix_(rows, cols)] for name in PATCH_FIELDS], -1)


def local_crop(cells: dict[str, np.ndarray], picture: Image.Image, cell: tuple[int, int], side: int) -> TrueWindow:
    """The window of `side` cells around a cell, and what holds in its central cell."""
    box, centre = window(*cell, side)
    values = tuple(
        HIDDEN if name == "position" else ABSENT if name == "background" else int(cells[name][centre])
        for name in FIELDS
    )
    is_object = cells["part"][centre] >= 0
    things, ground = ((values,), ABSENT) if is_object else ((), int(cells["background"][centre]))
    return TrueWindow(cut(picture, box), things, ground, patch_truth(cells, box))


def scene_crop(truth: Render, cells: dict[str, np.ndarray], picture: Image.Image) -> TrueWindow:
    """The whole picture, true of which is what is true of any of its objects."""
    things = tuple(
        tuple(
            HIDDEN if name == "part" else ABSENT if name == "background" else FIELDS[name].index(getattr(o, name))
            for name in FIELDS
        )
        for o in truth.scene.objects
    )
    box = (0, 0, SIZE, SIZE)
    return TrueWindow(cut(picture, box), things, BACKGROUNDS.index(truth.scene.background), patch_truth(cells, box))


def scene_crops(truth: Render, pixels: np.ndarray, count: int, rng: np.random.Generator) -> list[TrueWindow]:
    """The whole picture and `count - 1` windows of 3 to 9 cells, most of them on objects."""
    picture, cells = Image.fromarray(pixels), truth.cells()
    crops = [scene_crop(truth, cells, picture)]
    on, off = np.argwhere(cells["part"] >= 0), np.argwhere(cells["part"] < 0)
    for _ in range(count - 1):
        pool = on if rng.random() < 0.8 else off
        row, col = pool[rng.integers(len(pool))]
        crops.append(local_crop(cells, picture, (int(row), int(col)), int(rng.integers(3, 10))))
    return crops


def true_phrase(crop: TrueWindow, rng: np.random.Generator) -> Phrase:
    """A random phrase that is true of a crop, of a random granularity."""
    whole = len(crop.things) > 0 and crop.background != ABSENT
    if not crop.things or (whole and rng.random() < 0.15):
        return background_phrase("any" if rng.random() < 0.15 else BACKGROUNDS[crop.background], rng)
    if whole and rng.random() < 0.3:
        parts = [object_phrase(_values(t, 4, 1.0, rng), rng) for t in crop.things[: rng.integers(1, 4)]]
        if rng.random() < 0.7:
            parts.append(background_phrase(BACKGROUNDS[crop.background], rng))
        return Phrase(", ".join(p.text for p in parts), tuple(c for p in parts for c in p.clauses))
    thing = crop.things[rng.integers(len(crop.things))]
    count = int(np.searchsorted([0.04, 0.24, 0.58, 0.78], rng.random()))
    return object_phrase(_values(thing, count, 0.35, rng), rng)


def _values(thing: tuple[int, ...], count: int, positions: float, rng: np.random.Generator) -> dict[str, str]:
    names = [str(n) for n in rng.permutation(["size", "color", "texture", "shape"])[:count]]
    if thing[_COLUMN["position"]] >= 0 and rng.random() < positions:
        names.append("position")
    if thing[_COLUMN["part"]] >= 0 and rng.random() < 0.25:
        names.append("part")
    return {name: FIELDS[name][thing[_COLUMN[name]]] for name in names}


def altered(phrase: Phrase, rng: np.random.Generator) -> Phrase:
    """The same phrase with one word changed for another of its kind; foreign if it has nothing to change."""
    at = int(rng.integers(len(phrase.clauses))) if phrase.clauses else 0
    values = phrase.clauses[at] if phrase.clauses else ()
    asked = [i for i, v in enumerate(values) if v != ANY and (i, v) != (_COLUMN["background"], ANY_BACKGROUND)]
    if not asked:
        return foreign_phrase(rng)
    column = int(rng.choice(asked))
    words = FIELDS[list(FIELDS)[column]]
    other = int((values[column] + rng.integers(1, len(words))) % len(words))
    new = (*values[:column], other, *values[column + 1 :])
    parts = phrase.text.split(", ")
    parts[at] = parts[at].replace(words[values[column]], words[other], 1)
    return replace(phrase, text=", ".join(parts), clauses=(*phrase.clauses[:at], new, *phrase.clauses[at + 1 :]))


def truth_matrix(crops: Sequence[TrueWindow], phrases: Sequence[Phrase]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each phrase is true of each crop, and whether that can be told: two bool [crops, phrases]."""
    things = np.full((len(crops), MOST_THINGS, len(FIELDS)), ABSENT)
    for i, crop in enumerate(crops):
        if crop.things:
            things[i, : len(crop.things)] = crop.things
    backgrounds = np.array([crop.background for crop in crops])
    clauses = sorted({c for phrase in phrases for c in phrase.clauses})
    asked = np.array(clauses).reshape(-1, len(FIELDS))
    objects = len(FIELDS) - 1
    # [crops, 1, things, fields] against [1, clauses, 1, fields]
    have, want = things[:, None, :, :objects], asked[None, :, None, :objects]
    exists = have[..., 0] != ABSENT
    same = (want == ANY) | (want == have)
    sure = (same.all(-1) & exists).any(-1)
    maybe = ((same | (have == HIDDEN)).all(-1) & exists).any(-1)
    # Nothing but a position says nothing that a window without one could be right about.
    only_position = ((asked[:, :objects] != ANY).sum(-1) == 1) & (asked[:, _COLUMN["position"]] != ANY)
    maybe = np.where(only_position, sure, maybe)
    wanted, seen = asked[:, _COLUMN["background"]], backgrounds[:, None]
    behind = (seen != ABSENT) & ((wanted == seen) | (wanted == ANY_BACKGROUND))
    sure, maybe = (np.where(wanted != ANY, behind, x) for x in (sure, maybe))
    number = {c: i for i, c in enumerate(clauses)}
    # A column that is always met stands in for the clauses that a phrase has fewer than others.
    met = np.ones((len(crops), 1), bool)
    rows = [[number[c] for c in p.clauses] + [-1] * (MOST_CLAUSES - len(p.clauses)) for p in phrases]
    index = np.array(rows).reshape(-1, MOST_CLAUSES)
    known_to_world = np.array([bool(p.clauses) for p in phrases])
    true, possible = (np.concatenate([x, met], 1)[:, index].all(-1) & known_to_world for x in (sure, maybe))
    return true, true == possible
