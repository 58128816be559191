"""Captions of a folder's pictures: a text file beside each, a list, or the name of the folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autointerp.diffusion.sources.protocol import counted
from autointerp.errors import AutointerpError
from autointerp.text_files import read_text

BESIDE = (".txt", ".caption")
"""Endings of text files beside pictures; the first wins."""
_REPEATED = re.compile(r"([1-9]\d{0,2})_(.*[^\W\d_].*)")
"""A folder of kohya's scripts, `10_thing`: how often its pictures are repeated in training, and what they show."""


@dataclass
class CaptionFinder:
    """Finds the caption of each picture, and counts where captions came from.

    Attributes:
        listed: Captions of lists, by the path within the folder.
        differing: Pictures with two text files that differ.
        by_folder: Pictures whose caption is the name of their folder, by that folder.
    """

    listed: Mapping[str, str] = field(default_factory=dict)
    differing: int = 0
    by_folder: Counter[str] = field(default_factory=Counter)

    def caption(self, path: Path, within: str) -> str:
        """Return the caption of a picture; empty where it has none.

        Args:
            path: The picture.
            within: Its path within the folder.

        Raises:
            AutointerpError: The file beside it is not text.
        """
        found = texts_beside(path)
        self.differing += len(set(found)) > 1
        if found:
            return found[0]
        if within in self.listed:
            return self.listed[within]
        parent = path.parent.name
        if "/" in within and (repeated := _REPEATED.fullmatch(parent)):
            self.by_folder[parent] += 1
            return " ".join(repeated[2].replace("_", " ").split())
        return ""

    @property
    def notes(self) -> list[str]:
        """What was taken as captions, where it is not clear."""
        notes = [
            f"the name of the folder {folder} is the caption of {counted(number, 'picture')}"
            for folder, number in sorted(self.by_folder.items())
        ]
        if self.differing:
            notes.append(f"{counted(self.differing, 'picture')} with a .txt and a .caption that differ: .txt is read")
        return notes


def texts_beside(path: Path) -> list[str]:
    """Read the texts in the files beside a picture, those that are not empty.

    Raises:
        AutointerpError: A file is not text.
    """
    found = []
    for ending in BESIDE:
        beside = path.with_suffix(ending)
        if not beside.is_file():
            continue
        try:
            text = read_text(beside, f"the caption {beside}")
        except OSError as error:
            raise AutointerpError(
                f"the caption {beside} cannot be read: {error.strerror}", "check its permissions, or remove it"
            ) from None
        found.append(" ".join(text.split()))
    return [text for text in found if text]


def beside_picture(path: Path) -> str:
    """Read the caption in the text file beside a picture; empty where there is none.

    Raises:
        AutointerpError: The file is not text.
    """
    return next(iter(texts_beside(path)), "")
