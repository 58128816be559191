"""What a label's name says, as phrases: each a conjunction of values, with what it leaves out.

Values of different kinds in one phrase must hold together: `red circle` is red and a circle. Values of one kind are
alternatives, however they are joined: `red or blue`, `edge inside`. So a name that lists many things says something
broader, and never more. A name with a word that is not known says nothing that can be checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from autointerp.shapes.lexicon import Lexeme, lexemes

Values = tuple[tuple[str, tuple[str, ...]], ...]
_NOUNS = frozenset(("shape", "object", "background", "ground", "border"))


@dataclass(frozen=True)
class SaidPhrase:
    """Values that hold together.

    Attributes:
        said: The values of each kind, of which any one holds.
        beside: A relation such as `above`, and the object that the cell is not of; None without one.
        without: What does not hold.
    """

    said: Values = ()
    beside: tuple[str, SaidPhrase] | None = None
    without: tuple[SaidPhrase, ...] = ()

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of which it says a value."""
        return frozenset(kind for kind, _ in self.said)

    def joined(self, other: SaidPhrase) -> SaidPhrase:
        """Return the phrase that says both; values of one kind become alternatives."""
        said = dict(self.said)
        for kind, values in other.said:
            said[kind] = tuple(sorted({*said.get(kind, ()), *values}))
        return SaidPhrase(tuple(sorted(said.items())), self.beside or other.beside, (*self.without, *other.without))


@dataclass(frozen=True)
class Meaning:
    """A name, read.

    Attributes:
        alternatives: Phrases of which any one holds.
        problem: Why the name cannot be read; empty if it can.
    """

    alternatives: tuple[SaidPhrase, ...] = ()
    problem: str = ""


class _Unreadable(ValueError):
    pass


@lru_cache(maxsize=65536)
def read_name(name: str) -> Meaning:
    """Read what a label's name says."""
    words = lexemes(name)
    if not words:
        return Meaning(problem="there is no name")
    unknown = list(dict.fromkeys(word.text for word in words if word.role == "unknown"))
    if unknown:
        return Meaning(problem=f"the world has no word {', '.join(map(repr, unknown))}")
    try:
        found = [phrase for run in _split(words, "or") for phrase in _alternatives(run)]
    except _Unreadable as error:
        return Meaning(problem=str(error))
    if not found:
        return Meaning(problem="it says nothing about a cell")
    return Meaning(tuple(dict.fromkeys(_shared(found))))


def _split(words: Sequence[Lexeme], role: str) -> list[list[Lexeme]]:
    """Split words at those of a role; runs may be empty."""
    found: list[list[Lexeme]] = [[]]
    for word in words:
        if word.role == role:
            found.append([])
        else:
            found[-1].append(word)
    return found


def _alternatives(run: Sequence[Lexeme]) -> list[SaidPhrase]:
    """Read what stands between two `or`: parts of one kind are alternatives, others belong together."""
    found: list[SaidPhrase] = []
    for part in _split(run, "and"):
        phrase = _phrase(part)
        if phrase == SaidPhrase():
            continue
        if not found or any(phrase.kinds & other.kinds for other in found):
            found.append(phrase)
        else:
            found = [other.joined(phrase) for other in found]
    return found


def _phrase(words: Sequence[Lexeme]) -> SaidPhrase:
    """Read words without separators; `non` leaves out the next word alone, and `not` all that follow."""
    head, *left_out = _split([word for at, word in enumerate(words) if not _non(words, at)], "not")
    left_out += [[words[at + 1]] for at in range(len(words) - 1) if words[at].text == "non"]
    for at, word in enumerate(head):
        if word.role == "beside":
            phrase = _beside(_values(head[:at]), word.value, head[at + 1 :])
            break
    else:
        phrase = _values(head)
    return replace(phrase, without=tuple(_without(one) for one in left_out))


def _non(words: Sequence[Lexeme], at: int) -> bool:
    """Return whether a word is `non`, or what that leaves out."""
    return "non" in (words[at].text, words[at - 1].text if at else "")


def _without(words: Sequence[Lexeme]) -> SaidPhrase:
    phrase = _phrase(words)
    if phrase == SaidPhrase():
        raise _Unreadable("it does not say what is left out")
    return phrase


def _beside(head: SaidPhrase, relation: str, rest: Sequence[Lexeme]) -> SaidPhrase:
    if any(word.role == "beside" for word in rest):
        raise _Unreadable("it has more than one relation")
    of = _values(rest)
    if head.kinds - {"background", "ground", "place"} or of.kinds & {"background", "ground", "border", "place"}:
        raise _Unreadable("a relation of two objects cannot be read")
    return replace(head, beside=(relation, of if of.said else SaidPhrase((("object", ("object",)),))))


def _values(words: Sequence[Lexeme]) -> SaidPhrase:
    phrase = SaidPhrase()
    for word in words:
        if word.role == "value":
            phrase = phrase.joined(SaidPhrase(((word.kind, (word.value,)),)))
    return phrase


def _shared(found: list[SaidPhrase]) -> list[SaidPhrase]:
    """Give adjectives the words of the noun that they stand before: `red or blue circle` is about circles alone."""
    for at in range(len(found) - 2, -1, -1):
        one, following = found[at], found[at + 1]
        if one.kinds and one.kinds < following.kinds and not one.kinds & _NOUNS and one.beside is None:
            more = tuple((kind, values) for kind, values in following.said if kind not in one.kinds)
            found[at] = one.joined(SaidPhrase(more, following.beside, following.without))
    return found
