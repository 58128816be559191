"""The labeler `words`: names a feature by the word of the prompts to which the model attends where the feature fires.

Each picture of the evidence is run once more from its prompt and seed, and the word maps are read (see
`diffusion.word_maps`). A map is cut at a share of its range. The name is the word whose cells overlap most with the
feature's active cells, in the mean over the pictures. The labeler needs no VLM, no embedder and no training, and knows
only the words that the prompts say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.diffusion.word_maps import joined, normalized
from autointerp.errors import AutointerpError
from autointerp.labeling.evidence.overlap import mean_ious
from autointerp.labeling.evidence.phrases import FUNCTION_WORDS, REGION_WORDS
from autointerp.labeling.labelers.without_vlm import WithoutVlm
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, LabelResult, LayerContext

if TYPE_CHECKING:
    from autointerp.diffusion.word_maps import WordMaps
    from autointerp.labeling.setup import LabelerSetup, WordMapSource

_AT_ONCE = 4
"""Features whose pictures are run together: few, so that a stop loses little."""


@dataclass(frozen=True)
class WordsOptions:
    """Options of the labeler `words`."""

    cut: float = 0.4
    """Share of a map's range from which on a cell is the word's; 0.4 is what DAAM's authors use."""
    min_iou: float = 0.1
    """Least mean overlap of a name."""
    cells: int = 20
    """Pictures that the labeler looks at."""


class WordsLabeler(WithoutVlm):
    """Names features by the words whose maps fit theirs."""

    kind = "words"
    streams = True

    def __init__(self, maps: WordMapSource, options: WordsOptions | None = None) -> None:
        """Keep what the labeler looks with.

        Args:
            maps: Gives the word maps of stored images.
            options: How the labeler cuts and weighs.
        """
        self.options = options or WordsOptions()
        self.model = maps.name
        self.cells = self.options.cells
        self.config: dict[str, Any] = asdict(self.options)
        self._maps = maps

    @classmethod
    def make_labeler(cls, setup: LabelerSetup) -> WordsLabeler:
        """See `LabelerKind`.

        Raises:
            UsageError: It is not known where the model attends to words.
        """
        return cls(setup.word_maps)

    def prepare(self, context: LayerContext) -> None:
        """See `Labeler`; the labeler contrasts with nothing.

        Raises:
            AutointerpError: No image of the layer has a prompt.
        """
        if context.crops and not any(prompt.strip() for prompt in context.prompts):
            raise AutointerpError("the layer's images have no prompts, so there are no words", "use --labeler clip")

    def label(self, features: Iterable[FeatureEvidence]) -> Iterator[LabelResult]:
        """Yield a result for each feature, in order."""
        todo = iter(features)
        while some := list(islice(todo, _AT_ONCE)):
            shown = [pictures_of(feature) for feature in some]
            maps = self._maps.of({crop.image_id for crops in shown for crop in crops})
            for feature, crops in zip(some, shown, strict=True):
                yield self._label(feature, crops, [maps[crop.image_id] for crop in crops])

    def _label(self, feature: FeatureEvidence, crops: Sequence[CropEvidence], maps: Sequence[WordMaps]) -> LabelResult:
        """Name one feature by the word that fits best."""
        active = [crop.active for crop in crops if crop.active is not None]
        masks = [word_masks(one, on.shape, self.options.cut) for one, on in zip(maps, active, strict=True)]
        fits = mean_ious(active, masks)
        if not fits:
            return LabelResult(feature.feature_id, "uninterpretable", explanation="No words to look at.")
        # Rounded, so that words that fit alike come in one order on every machine.
        ranked = sorted(fits, key=lambda name: (-round(fits[name], 4), name))
        best = ranked[0]
        said = sum(best in one for one in masks)
        other = f"; next: '{ranked[1]}' {fits[ranked[1]]:.2f}" if len(ranked) > 1 else ""
        if fits[best] < self.options.min_iou:
            text = f"No word is attended to where it fires (nearest: '{best}', IoU {fits[best]:.2f})."
            return LabelResult(feature.feature_id, "uninterpretable", explanation=text)
        text = (
            f"Fires where the model attends to '{best}': mean IoU {fits[best]:.2f} over {len(active)} pictures, "
            f"of which {said} say it{other}."
        )
        return LabelResult(feature.feature_id, "ok", best, text, round(min(1.0, fits[best]), 4))


def pictures_of(feature: FeatureEvidence) -> list[CropEvidence]:
    """Return the pictures that are looked at: the sample of active cells, else the strongest crops."""
    crops = [crop for crop in feature.cells or feature.crops if crop.activation_map is not None]
    return list({crop.image_id: crop for crop in crops}.values())


def word_masks(maps: WordMaps, grid: tuple[int, ...], cut: float) -> dict[str, np.ndarray]:
    """Return the cells of each content word of a prompt, bool of the grid.

    Words of place are left out, since no cell shows them.

    Args:
        maps: The word maps of a picture.
        grid: Rows and columns.
        cut: Share of a map's range from which on a cell is the word's.
    """
    names, heat = joined(replace(maps, maps=maps.at((grid[0], grid[1]))), FUNCTION_WORDS | REGION_WORDS)
    return dict(zip(names, normalized(heat) >= cut, strict=True))
