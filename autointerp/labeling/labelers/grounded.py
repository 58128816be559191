"""The labeler `grounded`: names a feature by the segment that its active cells overlap with (arXiv 2504.15473).

In each picture of the evidence, segments are found for the phrases of its prompt: by an open-vocabulary detector and
SAM, or by what knows the model's world. A feature takes the name of a segment that its active cells overlap with an IoU
above 0.5 in enough of the pictures. No VLM is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.labeling.evidence.overlap import iou
from autointerp.labeling.evidence.phrases import REGION_WORDS, clauses, runs, without_regions
from autointerp.labeling.labelers.without_vlm import WithoutVlm
from autointerp.labeling.labelers.words import pictures_of
from autointerp.labeling.protocol import FeatureEvidence, LabelResult, LayerContext
from autointerp.worlds import Segmenter

if TYPE_CHECKING:
    from autointerp.labeling.setup import LabelerSetup

_SHORT = 6
"""Words of a clause up to which all its pairs are phrases; of a longer one only neighbours are."""
_KEPT = 4000
"""Pictures whose segments are kept in memory: features share many."""


@dataclass(frozen=True)
class GroundedOptions:
    """Options of the labeler `grounded`."""

    min_iou: float = 0.5
    """Overlap above which a segment names a feature in a picture, as in the paper."""
    min_share: float = 0.1
    """Share of the pictures in which the name's segment must overlap so."""
    cells: int = 20
    """Pictures that the labeler looks at."""


class GroundedLabeler(WithoutVlm):
    """Names features by the segments that theirs overlap with."""

    kind = "grounded"
    streams = True

    def __init__(self, segmenter: Segmenter, options: GroundedOptions | None = None) -> None:
        """Keep what the labeler looks with.

        Args:
            segmenter: Finds the segments of phrases.
            options: When a segment names a feature.
        """
        self.options = options or GroundedOptions()
        self.model = segmenter.name
        self.cells = self.options.cells
        self.config: dict[str, Any] = {**asdict(self.options), **segmenter.config}
        self._segmenter = segmenter
        self._known: dict[tuple[int, tuple[int, int]], Mapping[str, np.ndarray]] = {}

    @classmethod
    def make_labeler(cls, setup: LabelerSetup) -> GroundedLabeler:
        """See `LabelerKind`."""
        return cls(setup.segmenter)

    def prepare(self, context: LayerContext) -> None:
        """See `Labeler`; the labeler contrasts with nothing."""

    def label(self, features: Iterable[FeatureEvidence]) -> Iterator[LabelResult]:
        """Yield a result for each feature, in order."""
        for feature in features:
            yield self._label(feature)

    def _label(self, feature: FeatureEvidence) -> LabelResult:
        """Name one feature by the segment that overlaps in most pictures."""
        overlaps: dict[str, list[float]] = defaultdict(list)
        crops = pictures_of(feature)
        for crop in crops:
            active = crop.active
            if active is None:
                continue
            grid = (active.shape[0], active.shape[1])
            for phrase, mask in self._segments(crop.image_id, crop.prompt, crop.picture, grid).items():
                overlaps[phrase].append(iou(active, mask))
        if not overlaps:
            return LabelResult(feature.feature_id, "uninterpretable", explanation="No segments in its pictures.")
        shares = {p: sum(one > self.options.min_iou for one in found) / len(crops) for p, found in overlaps.items()}
        means = {p: round(sum(found) / len(crops), 4) for p, found in overlaps.items()}
        ranked = sorted(overlaps, key=lambda p: (-shares[p], -means[p], len(p.split()), p))
        best = ranked[0]
        if shares[best] < self.options.min_share:
            nearest = max(means, key=lambda p: (means[p], p))
            text = (
                f"No segment overlaps it above {self.options.min_iou:g} in {self.options.min_share:.0%} of its "
                f"pictures (nearest: '{nearest}', mean IoU {means[nearest]:.2f})."
            )
            return LabelResult(feature.feature_id, "uninterpretable", explanation=text)
        text = (
            f"Fires on '{best}': its segment overlaps with an IoU above {self.options.min_iou:g} in {shares[best]:.0%} "
            f"of {len(crops)} pictures (mean {means[best]:.2f})."
        )
        return LabelResult(feature.feature_id, "ok", best, text, round(shares[best], 4))

    def _segments(self, image: int, prompt: str, picture: Any, grid: tuple[int, int]) -> Mapping[str, np.ndarray]:
        """Return the cells of each phrase of a picture's prompt; each picture is read once."""
        if (image, grid) not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            found = self._segmenter.segments(picture, phrases_of(prompt), grid)
            self._known[image, grid] = {one.phrase: one.mask for one in found}
        return self._known[image, grid]


@lru_cache(maxsize=8192)
def phrases_of(prompt: str) -> Sequence[str]:
    """Return the phrases of a prompt that a segment may have: words, and pairs of words of one clause.

    Words of place are left out: no segment shows them.
    """
    found: dict[str, None] = {}
    for clause in clauses(prompt):
        words = without_regions(clause)
        pairs = combinations(words, 2) if len(words) <= _SHORT else [p for p in runs(words, 2) if len(p) == 2]
        for phrase in [*((word,) for word in words), *sorted(set(pairs))]:
            if len(set(phrase)) == len(phrase) and not REGION_WORDS.intersection(phrase):
                found.setdefault(" ".join(phrase))
    return tuple(found)
