"""Segments of the things that phrases name, in any picture: a detector finds boxes, a segmenter their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autointerp.labeling.segments.detector import PhraseBox, PhraseDetector
from autointerp.labeling.segments.masks import BoxSegmenter, cells_of
from autointerp.worlds import Segment

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class GroundingOptions:
    """Which models find segments, and from which confidence on.

    Attributes:
        detector: Folder or hub id of a Grounding DINO.
        segmenter: Folder or hub id of a SAM.
        confidence: Least confidence of a box, from 0 to 1.
    """

    detector: str = "IDEA-Research/grounding-dino-tiny"
    segmenter: str = "facebook/sam-vit-base"
    confidence: float = 0.3


class GroundedSegments:
    """A `Segmenter` of any picture; both models are loaded when the first picture is read.

    Args:
        options: The models.
        device: Where they run.
        local_files_only: Whether the hub is never asked.
    """

    def __init__(
        self, options: GroundingOptions | None = None, device: str = "cpu", local_files_only: bool = False
    ) -> None:
        self.options = options or GroundingOptions()
        self.name = f"{self.options.detector} and {self.options.segmenter}"
        self.config: dict[str, Any] = asdict(self.options)
        self._where = {"device": device, "local_files_only": local_files_only}
        self._models: tuple[PhraseDetector, BoxSegmenter] | None = None

    @property
    def loaded(self) -> bool:
        """Whether both models are loaded."""
        return self._models is not None

    def load(self) -> tuple[PhraseDetector, BoxSegmenter]:
        """Load both models, once.

        Raises:
            AutointerpError: One is not there, cannot be fetched, or is of another type.
        """
        if self._models is None:
            detector = PhraseDetector.load(self.options.detector, self.options.confidence, **self._where)  # type: ignore[arg-type]
            segmenter = BoxSegmenter.load(self.options.segmenter, **self._where)  # type: ignore[arg-type]
            self._models = detector, segmenter
        return self._models

    def things(
        self, picture: Image.Image, phrases: Sequence[str], grid: tuple[int, int]
    ) -> list[tuple[PhraseBox, Segment]]:
        """Return each thing that was found, with its box and its cells, the surest first; without cells none.

        Args:
            picture: The picture.
            phrases: What is looked for.
            grid: Rows and columns.
        """
        detector, segmenter = self.load()
        found = detector.detect(picture, phrases)
        boxes = list(dict.fromkeys(one.box for one in found))
        cells = dict(zip(boxes, cells_of(segmenter.masks(picture, boxes), grid), strict=True))
        return [(one, Segment(one.phrase, cells[one.box], one.confidence)) for one in found if cells[one.box].any()]

    def segments(self, picture: Image.Image, phrases: Sequence[str], grid: tuple[int, int]) -> list[Segment]:
        """See `Segmenter`."""
        joined: dict[str, Segment] = {}
        for _, one in self.things(picture, phrases, grid):
            first = joined.get(one.phrase)
            joined[one.phrase] = (
                one
                if first is None
                else Segment(one.phrase, first.mask | one.mask, max(first.confidence, one.confidence))
            )
        return list(joined.values())
