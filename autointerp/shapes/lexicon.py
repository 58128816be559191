"""The words that a label of the shapes world may be made of, and what each of them picks out.

A word, or a phrase of up to five words that belong together such as `upper left corner`, is one lexeme. A lexeme says a
value of a kind (`red` is a colour, `top left` a place), joins others (`or`, `not`, `next to`), or says nothing (`of`).
Anything else is unknown: it may carry meaning, so a label that has it cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

from autointerp.shapes.concepts import REGIONS
from autointerp.shapes.scenes import ATTRIBUTES
from autointerp.shapes.truth import SYNONYMS

Role = Literal["value", "beside", "not", "or", "and", "filler", "unknown"]
"""What a lexeme does: `beside` relates a cell to an object that it is not of, `and` separates as a comma does."""

OBJECT_KINDS = ("color", "shape", "texture", "size", "part", "side", "object")
"""Kinds of values that hold in cells of objects alone."""
ROWS, COLUMNS = ("top", "bottom"), ("left", "right")
SIDES = (*ROWS, *COLUMNS)


@dataclass(frozen=True)
class Lexeme:
    """A word or phrase, as it was read.

    Attributes:
        role: What it does.
        text: The words.
        kind: Of a value, an attribute of `ATTRIBUTES`, or `place`, `side`, `border`, `object` or `ground`.
        value: Of a value, which one; of a relation, its name.
    """

    role: Role
    text: str
    kind: str = ""
    value: str = ""


_MORE: dict[str, tuple[str, ...]] = {
    "small": ("smaller",),
    "large": ("huge", "larger"),
    "striped": ("banded",),
    "dotted": ("spots", "dotty"),
    "solid": ("uniform", "unpatterned"),
    "star": ("starry",),
    "object": ("thing", "things", "figure", "figures", "item", "items", "foreground"),
}
"""Synonyms beyond those of the lenient rule, whose list stays as it is."""
_ARTICLES = frozenset(("a", "an", "the"))
_SAYING_NOTHING = """
of in at on with to from that which are is its their some each part parts area areas region regions cell cells
pattern patterns patterned texture textures textured surface surfaces color colors colour colours colored coloured
sized size filled fill shaped against over front behind upon picture image scene portion section any either
fires feature where there placed located positioned lying covered geometric all every mostly
"""
_GROUNDS = ("background", "backgrounds", "backdrop", "backdrops")
_PICTURES = ("picture", "image", "frame", "canvas", "scene", "pictures", "images")
_NOT = ("not", "no", "non", "without", "except", "excluding", "other than", "rather than")
_BESIDE: dict[str, tuple[str, ...]] = {
    "beside": (
        "beside", "next to", "adjacent to", "near", "around", "surrounding", "bordering",
        "just outside", "outside", "just outside of", "outside of",
    ),
    "above": ("above", "just above", "on top of"),
    "below": ("below", "just below", "beneath", "under", "underneath"),
    "left of": ("left of", "to left of", "just left of"),
    "right of": ("right of", "to right of", "just right of"),
}  # fmt: skip
_LONGEST = 5


def spoken(word: str) -> tuple[str, ...]:
    """Return a word of the world with its synonyms."""
    return (word, *SYNONYMS.get(word, ()), *_MORE.get(word, ()))


@cache
def _lexicon() -> dict[tuple[str, ...], Lexeme]:
    found: dict[tuple[str, ...], Lexeme] = {}

    def add(texts: Iterable[str], role: Role, kind: str = "", value: str = "") -> None:
        for text in texts:
            found.setdefault(tuple(text.split()), Lexeme(role, text, kind, value))

    for kind, values in ATTRIBUTES.items():
        for value in values:
            add(spoken(value), "value", kind, value)
    add(("night sky", "night time"), "value", "background", "night")
    add(("check board", "checker board"), "value", "background", "checkered")
    add(("polka dot", "polka dots", "polka dotted"), "value", "texture", "dotted")
    add(("ring shaped",), "value", "shape", "ring")
    add(spoken("object"), "value", "object", "object")
    add(_GROUNDS, "value", "ground", "ground")
    _add_places(add)
    for relation, texts in _BESIDE.items():
        add(texts, "beside", value=relation)
    add(_NOT, "not")
    add(("or",), "or")
    add(("and", "but"), "and")
    add(_SAYING_NOTHING.split(), "filler")
    return found


def _add_places(add: object) -> None:
    """Add places of the picture, sides and corners of objects, and the border of the picture."""
    assert callable(add)
    edges, corners = spoken("edge"), ("corner", "corners")
    of_picture = [f"of {picture}" for picture in _PICTURES]
    row_words, column_words = ({s: spoken(s) for s in sides} for sides in (ROWS, COLUMNS))
    quadrants = {
        f"{row} {column}": [
            joined for a, b in product(row_words[row], column_words[column]) for joined in (f"{a} {b}", f"{b} {a}")
        ]
        for row, column in product(ROWS, COLUMNS)
    }
    for place, texts in quadrants.items():
        add([*texts, *(f"{t} {c}" for t in texts for c in (*corners, "quadrant", "quarter"))], "value", "place", place)
        add([f"{t} {c} {of}" for t in texts for c in corners for of in of_picture], "value", "place", place)
        add([f"{t} {edge}" for t in texts for edge in edges], "value", "side", place)
        add([f"{t} {c} of" for t in texts for c in corners], "value", "side", place)
    centers = spoken("center")
    add([*centers, *(f"{c} {of}" for c in centers for of in of_picture)], "value", "place", "center")
    for side, words in {**row_words, **column_words}.items():
        halves = [f"{w} {half}" for w in words for half in ("half", "side", "part")]
        add([*words, *halves], "value", "place", side)
        add([f"{w} {of}" for w in [*words, *halves] for of in of_picture], "value", "place", side)
        add([f"{w} {edge}" for w in words for edge in edges], "value", "side", side)
        add([f"{w} side of" for w in words], "value", "side", side)
        if side in ROWS:
            add([f"{w} of" for w in words], "value", "side", side)
        add([f"{w} {e} {of}" for w in words for e in edges for of in of_picture], "value", "border", side)
    add([f"{e} {of}" for e in edges for of in of_picture], "value", "border", "any")
    add([f"{picture} {e}" for picture in _PICTURES for e in edges], "value", "border", "any")


def lexemes(text: str) -> list[Lexeme]:
    """Return the lexemes of a label's name in order, longest phrases first; articles are left out."""
    pieces = re.findall(r"[^\W\d_]+|\d+|[,;/|&+()]", text.lower().replace("'s", ""))
    tokens = [piece for piece in pieces if piece not in _ARTICLES]
    known, found, at = _lexicon(), [], 0
    while at < len(tokens):
        for length in range(min(_LONGEST, len(tokens) - at), 0, -1):
            lexeme = known.get(tuple(tokens[at : at + length]))
            if lexeme is not None:
                break
        else:
            length, lexeme = 1, _mark(tokens[at])
        found.append(lexeme)
        at += length
    return found


def _mark(token: str) -> Lexeme:
    if token in "/|":
        return Lexeme("or", token)
    return Lexeme("and" if token in ",;&+()" else "unknown", token)


def regions_of(place: str) -> list[str]:
    """Return the regions of the picture that a place is made of: one quadrant or the centre, or the two of a side."""
    return [place] if place in REGIONS else [region for region in REGIONS if place in region.split()]
