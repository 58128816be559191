"""What is true of each cell of a picture, in the words of the wider world.

An atom is a word with the relation in which it holds: of the cell itself, of the object beside which a cell of the
background lies (`near`), or of the background that an object stands on (`on`). A concept is a set of atoms. All of
them are read off who owns a cell, what each object looks like, and where the cell lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autointerp.shapes.concepts import REGIONS
from autointerp.shapes.scenes import ATTRIBUTES, GRID, INSIDE_COVERAGE, OBJECT_COVERAGE, SIZE
from training.shapes.wide.words import EXCLUSIVE, KIND_OF, LOOKS, PARTS, PLACES, WORDS

MOST_OBJECTS = 3
NEAR = 2
"""Cells from an object within which a cell lies beside it."""

Atom = tuple[str, str]
"""A relation ("" of the cell itself, "near", "on") and a word."""
LOOK_WORDS: tuple[str, ...] = tuple(word for kind in LOOKS for word in EXCLUSIVE[kind])
ATOMS: tuple[Atom, ...] = (
    *(("", word) for word in WORDS),
    *(("near", word) for word in LOOK_WORDS),
    *(("on", word) for word in EXCLUSIVE["background"]),
)
ROW: dict[Atom, int] = {atom: i for i, atom in enumerate(ATOMS)}
WORD_OF_ATOM = np.array([WORDS.index(word) for _, word in ATOMS])
"""The index in `WORDS` of each atom's word."""


def _regions() -> np.ndarray:
    """Where each place is, bool [places, GRID, GRID]."""
    inside = np.zeros((len(PLACES), GRID, GRID), bool)
    half = slice(0, GRID // 2), slice(GRID // 2, GRID)
    halves = {
        "top half": (half[0], slice(None)),
        "bottom half": (half[1], slice(None)),
        "left half": (slice(None), half[0]),
        "right half": (slice(None), half[1]),
    }
    for i, place in enumerate(PLACES):
        if place == "margin":
            inside[i] = True
            inside[i, 1:-1, 1:-1] = False
        else:
            inside[(i, *(REGIONS | halves)[place])] = True
    return inside


IN_PLACE = _regions()


def _shifted(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """A mask [..., GRID, GRID] moved by cells; what comes in is False."""
    out = np.zeros_like(mask)
    rows, cols = (slice(max(d, 0), GRID + min(d, 0)) for d in (down, right))
    from_rows, from_cols = (slice(max(-d, 0), GRID + min(-d, 0)) for d in (down, right))
    out[..., rows, cols] = mask[..., from_rows, from_cols]
    return out


def parts_of(owner: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Find the parts that each cell of a picture is.

    Args:
        owner: The object of each cell, int [GRID, GRID], -1 for background.
        inside: Which cells an object covers nearly whole, bool [GRID, GRID].

    Returns:
        bool [parts, GRID, GRID], in the order of `PARTS`. A cell is on the left side of its object if no cell of the
        object lies left of it in its row; it is a corner if it is at the end of its row and of its column. A cell of
        the background is `outside` if it touches an object, `above` one if that lies at most two cells below it,
        `between` two if they lie on opposite sides of it, and `open` if none lies within two cells.
    """
    on = owner >= 0
    found = {name: np.zeros((GRID, GRID), bool) for name in PARTS}
    found["inside"], found["edge"] = on & inside, on & ~inside
    touched, close = np.zeros_like(on), np.zeros_like(on)
    seen: dict[str, list[np.ndarray]] = {"left": [], "right": [], "top": [], "bottom": []}
    for i in range(owner.max(initial=-1) + 1):
        mine = owner == i
        before = {
            "left": np.maximum.accumulate(mine, 1),
            "right": np.maximum.accumulate(mine[:, ::-1], 1)[:, ::-1],
            "top": np.maximum.accumulate(mine, 0),
            "bottom": np.maximum.accumulate(mine[::-1], 0)[::-1],
        }
        steps = {"left": (0, 1), "right": (0, -1), "top": (1, 0), "bottom": (-1, 0)}
        for side, (down, right) in steps.items():
            found[f"{side} side"] |= mine & ~_shifted(before[side], down, right)
            # What lies beyond a side sees the object on its opposite side.
            seen[side].append(_shifted(before[side], down, right) & ~mine)
        for reach, into in ((1, touched), (NEAR, close)):
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    into |= _shifted(mine, down, right)
        beside = {"above": (-1, 0), "below": (1, 0), "left of": (0, -1), "right of": (0, 1)}
        for name, (down, right) in beside.items():
            for step in range(1, NEAR + 1):
                found[name] |= _shifted(mine, down * step, right * step) & ~on
    ends = (found["left side"] | found["right side"]) & (found["top side"] | found["bottom side"])
    found["corner"] = ends & found["edge"]
    found["outside"], found["open"] = touched & ~on, ~close
    for one, other in (("left", "right"), ("top", "bottom")):
        for i, first in enumerate(seen[one]):
            for k, second in enumerate(seen[other]):
                if i != k:
                    found["between"] |= first & second & ~on
    return np.stack([found[name] for name in PARTS])


def nearest_object(owner: np.ndarray) -> np.ndarray:
    """Return the object beside which each cell of the background lies, int8 [GRID, GRID]; -1 for none within two
    cells, and for cells of objects.
    """
    near = np.full((GRID, GRID), -1, np.int8)
    for reach in range(NEAR, 0, -1):
        for i in range(owner.max(initial=-1) + 1):
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    near[_shifted(owner == i, down, right)] = i
    near[owner >= 0] = -1
    return near


_ARRAYS = ("owner", "near", "parts", "looks", "background")


@dataclass(frozen=True)
class WideCells:
    """The truth of the cells of pictures.

    `owner`, `near`: int8 [n, GRID, GRID], the object of a cell and the one that it lies beside, -1 for none.
    `parts`: uint16 [n, GRID, GRID], a bit for each of `PARTS`. `looks`: int8 [n, MOST_OBJECTS, LOOKS], the words of
    each object as indices into `EXCLUSIVE`, -1 for none. `background`: int8 [n].
    """

    owner: np.ndarray
    near: np.ndarray
    parts: np.ndarray
    looks: np.ndarray
    background: np.ndarray

    def __len__(self) -> int:
        return len(self.owner)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, as they are kept in a file."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}

    @classmethod
    def joined(cls, cells: Sequence[WideCells]) -> WideCells:
        """The cells of several sets of pictures, one after the other."""
        return cls(*(np.concatenate([getattr(one, name) for one in cells]) for name in _ARRAYS))

    def __getitem__(self, pictures: np.ndarray | slice) -> WideCells:
        return WideCells(*(getattr(self, name)[pictures] for name in _ARRAYS))

    @classmethod
    def of(
        cls, owners: Iterable[np.ndarray], insides: Iterable[np.ndarray], looks: np.ndarray, background: np.ndarray
    ) -> WideCells:
        """The truth of pictures from who owns each cell, which cells are covered whole, and the words of objects."""
        owner, bits = [], []
        for own, inside in zip(owners, insides, strict=True):
            weights = (1 << np.arange(len(PARTS), dtype=np.uint16))[:, None, None]
            bits.append((parts_of(own, inside) * weights).sum(0).astype(np.uint16))
            owner.append(own.astype(np.int8))
        near = np.stack([nearest_object(own) for own in owner])
        return cls(np.stack(owner), near, np.stack(bits), looks.astype(np.int8), background.astype(np.int8))

    def atoms_at(self, picture: np.ndarray, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Which atoms hold in cells, bool [n, ATOMS]."""
        hold = np.zeros((len(picture), len(ATOMS)), bool)
        each = np.arange(len(picture))
        owner, near = self.owner[picture, row, col], self.near[picture, row, col]
        on = owner >= 0
        for relation, object_of, there in (("", owner, on), ("near", near, near >= 0)):
            for k, kind in enumerate(LOOKS):
                code = self.looks[picture, np.maximum(object_of, 0), k].astype(np.int64)
                some = there & (code >= 0)
                hold[each[some], ROW[relation, EXCLUSIVE[kind][0]] + code[some]] = True
        behind = self.background[picture].astype(np.int64)
        hold[each[~on], ROW["", EXCLUSIVE["background"][0]] + behind[~on]] = True
        hold[each[on], ROW["on", EXCLUSIVE["background"][0]] + behind[on]] = True
        hold[:, ROW["", PLACES[0]] : ROW["", PLACES[0]] + len(PLACES)] = IN_PLACE[:, row, col].T
        bits = self.parts[picture, row, col][:, None] >> np.arange(len(PARTS), dtype=np.uint16) & 1
        hold[:, ROW["", PARTS[0]] : ROW["", PARTS[0]] + len(PARTS)] = bits > 0
        hold[:, ROW["", "object"]], hold[:, ROW["", "background"]] = on, ~on
        return hold

    def where(self, atoms: Iterable[Atom], pictures: np.ndarray) -> np.ndarray:
        """In which cells of pictures all of some atoms hold, bool [n, GRID, GRID]."""
        shape = (len(pictures), GRID, GRID)
        holds = np.ones(shape, bool)
        owner = self.owner[pictures]
        for relation, word in atoms:
            kind = KIND_OF[word]
            if kind in LOOKS:
                objects = owner if relation == "" else self.near[pictures]
                k = LOOKS.index(kind)
                code = np.take_along_axis(
                    self.looks[pictures, :, k], np.maximum(objects, 0).reshape(len(pictures), -1).astype(np.int64), 1
                ).reshape(shape)
                holds &= (objects >= 0) & (code == EXCLUSIVE[kind].index(word))
            elif kind == "background":
                same = self.background[pictures] == EXCLUSIVE[kind].index(word)
                holds &= same[:, None, None] & ((owner < 0) == (relation == ""))
            elif kind == "place":
                holds &= IN_PLACE[PLACES.index(word)]
            elif kind == "part":
                holds &= (self.parts[pictures] >> PARTS.index(word) & 1) > 0
            else:
                holds &= (owner >= 0) == (word == "object")
        return holds

    @cached_property
    def present(self) -> np.ndarray:
        """In which pictures each atom holds anywhere, bool [n, ATOMS]."""
        row, col = (x.reshape(-1) for x in np.mgrid[0:GRID, 0:GRID])
        found = np.zeros((len(self), len(ATOMS)), bool)
        for start in range(0, len(self), 256):
            stop = min(start + 256, len(self))
            pictures = np.arange(start, stop).repeat(len(row))
            hold = self.atoms_at(pictures, np.tile(row, stop - start), np.tile(col, stop - start))
            found[start:stop] = hold.reshape(stop - start, len(row), -1).any(1)
        return found


def cells_of_renders(renders: Sequence[object]) -> WideCells:
    """The exact truth of renders of the world or of the wider one."""
    step = SIZE // GRID
    owners, insides = [], []
    looks = np.full((len(renders), MOST_OBJECTS, len(LOOKS)), -1, np.int8)
    background = np.zeros(len(renders), np.int8)
    for n, one in enumerate(renders):
        scene, coverage = one.scene, one.coverage  # type: ignore[attr-defined]
        share = coverage.reshape(len(coverage), GRID, step, GRID, step).mean((2, 4))
        owner, best = share.argmax(0), share.max(0)
        owners.append(np.where(best >= OBJECT_COVERAGE, owner, -1))
        insides.append(best >= INSIDE_COVERAGE)
        for i, thing in enumerate(scene.objects):
            looks[n, i] = [EXCLUSIVE[kind].index(getattr(thing, kind)) for kind in LOOKS]
        background[n] = EXCLUSIVE["background"].index(scene.background)
    return WideCells.of(owners, insides, looks, background)


def cells_of_reading(read: dict[str, np.ndarray], captions: Sequence[str]) -> WideCells:
    """The truth of generated pictures as the oracle reads them, each an object at every place of its caption.

    Args:
        read: As `Oracle.read` returns, int64 [n, GRID, GRID] for each attribute.
        captions: What the pictures were generated from. A lone object at the centre owns all object cells; else each
            quadrant has its own.
    """
    quadrant = np.zeros((GRID, GRID), int)
    quadrant[GRID // 2 :] += 2
    quadrant[:, GRID // 2 :] += 1
    owners, insides = [], []
    looks = np.full((len(captions), MOST_OBJECTS, len(LOOKS)), -1, np.int8)
    background = np.zeros(len(captions), np.int8)
    for n, caption in enumerate(captions):
        on = read["part"][n] >= 0
        group = np.where(on, 0 if " center," in caption else quadrant, -1)
        found = [g for g in np.unique(group[on]) if (group == g).sum() >= 3][:MOST_OBJECTS]
        owner = np.full((GRID, GRID), -1)
        for i, g in enumerate(found):
            owner[group == g] = i
            looks[n, i] = [_commonest(read[kind][n][group == g], len(ATTRIBUTES[kind])) for kind in LOOKS]
        owners.append(owner)
        insides.append(read["part"][n] == ATTRIBUTES["part"].index("inside"))
        background[n] = _commonest(read["background"][n][~on], len(ATTRIBUTES["background"]))
    return WideCells.of(owners, insides, looks, background)


def _commonest(codes: np.ndarray, values: int) -> int:
    return int(np.bincount(codes[codes >= 0], minlength=values).argmax())
