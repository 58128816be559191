"""Registries of kinds: a name, a line of help, and the dotted path of what is loaded when the kind is used.

A registry is light: it names classes without importing their modules. The command line's choices, the settings' text
and the docs are read from it, so that a new kind is one class and one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar

from autointerp.errors import UsageError, nearest

T_co = TypeVar("T_co", covariant=True)
Row = TypeVar("Row", bound="Kind[Any]")


@dataclass(frozen=True)
class Kind(Generic[T_co]):
    """A row of a registry.

    Attributes:
        name: The word that people write.
        help: What the kind is, in one line without a full stop.
        path: `package.module:attribute` of the object that the kind stands for.
    """

    name: str
    help: str
    path: str

    def load(self) -> T_co:
        """Import the module and return the object; its module may load heavy libraries."""
        module, _, attribute = self.path.partition(":")
        found: T_co = getattr(import_module(module), attribute)
        return found


class Registry(Mapping[str, Row]):
    """Kinds of one thing by name, in the order in which help lists them.

    Args:
        noun: What a row is, as errors call it: "dictionary kind", "labeler".
        kinds: The rows.
    """

    def __init__(self, noun: str, kinds: Sequence[Row]) -> None:
        self.noun = noun
        self._kinds = {kind.name: kind for kind in kinds}
        if len(self._kinds) != len(kinds):
            raise ValueError(f"two kinds of {noun} share a name")

    def __getitem__(self, name: str) -> Row:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def check(self, name: str) -> Row:
        """Return the kind of that name.

        Raises:
            UsageError: There is no such kind; the hint holds the nearest names.
        """
        if name not in self._kinds:
            raise UsageError(f"there is no {self.noun} {name!r}", nearest(name, self._kinds))
        return self._kinds[name]

    def listed(self) -> str:
        """Name all kinds in one phrase: `topk, itda or pca`."""
        *first, last = self._kinds
        return f"{', '.join(first)} or {last}" if first else last

    def where(self, holds: Callable[[Row], bool]) -> Registry[Row]:
        """Return the registry of those kinds for which `holds` is true."""
        return Registry(self.noun, [kind for kind in self._kinds.values() if holds(kind)])
