"""The scene reader of pictures of any model: things that given phrases name, found by detector and segmenter.

What the world could have painted is not known here. So a picture counts as valid where anything of what was asked about
is found in it, which is weaker than what the reader of an embedded world says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autointerp.errors import UsageError
from autointerp.labeling.evidence.overlap import iou
from autointerp.labeling.segments.grounded import GroundedSegments
from autointerp.worlds import SceneFacts, SeenObject, Segment

if TYPE_CHECKING:
    from PIL import Image

PHRASE = "phrase"
"""The attribute of objects that says which of the phrases names them."""
SAME = 0.7
"""Overlap above which two things are one, which is called by its surest phrase."""


class GroundedSceneReader:
    """A `SceneReader` of given phrases.

    Args:
        segments: The detector and the segmenter.
        phrases: What is looked for, such as the things of a case's prompts.
        grid: Rows and columns of the masks, those of the layer that is looked at.

    Raises:
        UsageError: There are no phrases.
    """

    def __init__(self, segments: GroundedSegments, phrases: Sequence[str], grid: tuple[int, int]) -> None:
        self.phrases = tuple(filter(None, dict.fromkeys(phrase.lower().strip(" .") for phrase in phrases)))
        if not self.phrases:
            raise UsageError("there is nothing to look for in the pictures", "name what is painted, as phrases")
        self._segments, self._grid = segments, grid

    @property
    def attributes(self) -> Mapping[str, tuple[str, ...]]:
        """Each phrase, which is its own only value."""
        return {phrase: (phrase,) for phrase in self.phrases}

    def read(self, pictures: Sequence[Image.Image]) -> list[SceneFacts]:
        """Return the things in each picture.

        Each phrase is an attribute of cells by itself, because phrases may share cells: 0 where it holds, else -1. Two
        things that overlap nearly wholly are one object, of the surest phrase. An object's words are its `phrase`, and
        its agreement is the detector's confidence. The background is not read.

        Raises:
            AutointerpError: A model is missing.
        """
        return [self._scene(picture) for picture in pictures]

    def holds(self, name: str, scenes: Sequence[SceneFacts]) -> np.ndarray | None:
        """Return the cells in which a phrase holds, bool [n, rows, cols]; None for one that was not looked for."""
        wanted = name.lower().strip(" .")
        if wanted not in self.phrases:
            return None
        return np.stack([scene.cells[wanted] >= 0 for scene in scenes]) if scenes else np.zeros((0, *self._grid), bool)

    def _scene(self, picture: Image.Image) -> SceneFacts:
        cells = {phrase: np.full(self._grid, -1, np.int64) for phrase in self.phrases}
        objects: list[Segment] = []
        for _, thing in self._segments.things(picture, self.phrases, self._grid):
            cells[thing.phrase][thing.mask] = 0
            # The surest things come first.
            if all(iou(thing.mask, other.mask) <= SAME for other in objects):
                objects.append(thing)
        seen = [SeenObject(one.mask, {PHRASE: one.phrase}, one.confidence) for one in objects]
        seen.sort(key=lambda one: tuple(np.argwhere(one.mask).mean(0)))
        problem = "" if seen else "nothing of what was looked for is found"
        return SceneFacts(cells, tuple(seen), None, bool(seen), problem)
