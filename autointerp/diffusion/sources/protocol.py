"""The seam `PromptSource`: where the images of a run come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from autointerp.diffusion.jobs import ImageJob
from autointerp.sizes import Size

HELD_OUT_SEEDS = 1_000_000_000
"""Added to the seed of every held-out image, so that its noise is that of no harvested image."""


@dataclass(frozen=True)
class Found:
    """What a source holds, as `init` says it.

    Attributes:
        what: The count in a clause, such as `379 prompts`; empty where it is not known.
        notes: What was left out or taken to mean something, a sentence each.
        texts: Its prompts or captions, or the first of very many.
        noun: The word for one of the texts, where it is not clear.
    """

    what: str = ""
    notes: tuple[str, ...] = ()
    texts: Sequence[str] = ()
    noun: str = ""


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 prompt`, `2 prompts`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


class PromptSource(Protocol):
    """Numbered images of prompts or pictures: image n depends on n and the base seed alone."""

    @property
    def spec(self) -> str:
        """The source as the user names it: a set, a file, a data set, or a folder of pictures."""
        ...

    @property
    def identity(self) -> str:
        """A hash of the content, which does not depend on the name of the file."""
        ...

    @property
    def count(self) -> int | None:
        """The number of images that the source has; None for no end."""
        ...

    @property
    def sizes(self) -> Mapping[Size, str]:
        """The sizes that single prompts ask for, each with the place where it is first asked for."""
        ...

    def found(self) -> Found:
        """Return what the source holds."""
        ...

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """Return the images `start` to `stop` (exclusive) of a run with this base seed; fewer at the source's end."""
        ...

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Return images to evaluate on. None shares prompt and seed with one of the run's first `used` images."""
        ...
