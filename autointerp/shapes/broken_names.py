"""Names that are right, and the same names broken in five known ways: what a score must tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from autointerp.shapes.concepts import Concept
from autointerp.shapes.scenes import ATTRIBUTES, POSITIONS

Break = Literal["too broad", "too narrow", "sibling", "another feature's", "random"]
BREAKS: tuple[Break, ...] = ("too broad", "too narrow", "sibling", "another feature's", "random")
OWN = ("size", "color", "texture", "shape")
"""Kinds of words that tell objects apart."""


@dataclass(frozen=True)
class NameWords:
    """The words of a name, one for each kind; `object` and `ground` stand alone where there is no narrower word."""

    said: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, concept: Concept) -> NameWords:
        """Return the words of a concept."""
        kinds = {**{word: kind for kind in OWN for word in ATTRIBUTES[kind]}, **dict.fromkeys(POSITIONS, "place")}
        kinds |= {"object": "object", **dict.fromkeys(ATTRIBUTES["part"], "part")}
        kinds |= dict.fromkeys(ATTRIBUTES["background"], "background")
        return cls(tuple((kinds[word], word) for word in concept.words))

    def without(self, kind: str) -> NameWords:
        """Return the other words."""
        return NameWords(tuple(one for one in self.said if one[0] != kind))

    def also(self, kind: str, word: str) -> NameWords:
        """Return these words, with another one in the place of the one of its kind."""
        return NameWords((*self.without(kind).said, (kind, word)))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the words."""
        return tuple(kind for kind, _ in self.said)

    def __str__(self) -> str:
        """The name as a labeler would write it."""
        words = dict(self.said)
        name = " ".join(words[kind] for kind in OWN if kind in words)
        if "part" in words:
            name = f"{words['part']} of {name} objects" if name else f"{words['part']} of objects"
        elif "object" in words:
            name = "objects"
        if "background" in words or "ground" in words:
            name = f"{words.get('background', '')} background".strip()
        return f"{name} {words['place']}".strip() if "place" in words else name


def broken(words: NameWords, others: list[NameWords], rng: np.random.Generator) -> dict[Break, NameWords]:
    """Return the name broken in each way that it can be.

    Args:
        words: A right name.
        others: The right names of other features.
        rng: Source of randomness.
    """
    made: dict[Break, NameWords | None] = {
        "too broad": _broader(words, rng),
        "too narrow": _narrower(words, rng),
        "sibling": _sibling(words, rng),
        "another feature's": others[int(rng.integers(len(others)))] if others else None,
        "random": _random(rng),
    }
    return {kind: name for kind, name in made.items() if name is not None and set(name.said) != set(words.said)}


def _broader(words: NameWords, rng: np.random.Generator) -> NameWords | None:
    """Leave out a word; of a single word, say that it is an object, or a background, or half of the picture."""
    if len(words.said) > 1:
        return words.without(words.kinds[int(rng.integers(len(words.kinds)))])
    ((kind, word),) = words.said
    if kind == "place":
        return None if " " not in word else NameWords((("place", word.split()[int(rng.integers(2))]),))
    if kind == "object":
        return None
    return NameWords((("ground", ""),) if kind == "background" else (("object", "object"),))


def _narrower(words: NameWords, rng: np.random.Generator) -> NameWords:
    """Add a word of another kind: an attribute, or a place where only a background is said."""
    if "background" in words.kinds:
        return words.also("place", str(rng.choice(list(POSITIONS))))
    kind = str(rng.choice([one for one in OWN if one not in words.kinds]))
    return words.without("object").also(kind, str(rng.choice(ATTRIBUTES[kind])))


def _sibling(words: NameWords, rng: np.random.Generator) -> NameWords:
    """Say another value in the place of one."""
    kind, word = words.said[int(rng.integers(len(words.said)))]
    if kind == "object":
        return NameWords((("ground", ""),))
    values = list(POSITIONS) if kind == "place" else list(ATTRIBUTES[kind])
    return words.also(kind, str(rng.choice([value for value in values if value != word])))


def _random(rng: np.random.Generator) -> NameWords:
    """Say one or two words that nobody chose."""
    kind = str(rng.choice([*OWN, "part", "background"]))
    name = NameWords(((kind, str(rng.choice(ATTRIBUTES[kind]))),))
    other = str(rng.choice(OWN))
    if kind in ("part", "background") or other == kind or rng.random() < 0.5:
        return name
    return name.also(other, str(rng.choice(ATTRIBUTES[other])))
