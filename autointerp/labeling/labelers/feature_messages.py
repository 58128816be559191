"""The request for a feature's name: the text and the pictures that a VLM is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from autointerp.labeling.asking.messages import (
    TOLD,
    KeptPictures,
    Mark,
    PictureForm,
    image_part,
    mapped_view,
    marked_view,
    shown,
    text_part,
    whole_picture,
)
from autointerp.labeling.asking.protocol import Message
from autointerp.labeling.asking.templates import PromptFile
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence

Evidence = Literal["peaks", "cells", "maps"]
"""What a labeler sees of a feature: its crops, each marked where the feature is strongest; pictures drawn by the number
of cells in which it is active, each marked at one of these cells; or the same pictures marked in all of these cells."""


@dataclass(frozen=True)
class VlmOptions:
    """Options of the request for a feature's name."""

    crops: int = 10
    """Crops shown, spread over the range of activation."""
    floor: float = 0.25
    """Crops below this share of the feature's strongest activation are not shown: many fire there by accident."""
    context: bool = True
    """Whether each marked picture follows the same picture without a mark."""
    negatives: int = 3
    """Images shown in which the feature does not fire."""
    mark: Mark = "dim"
    """How the place is marked where the feature fires."""
    image_format: PictureForm = "jpeg"
    sheet: bool = False
    """Whether all pictures of a request are tiles of one, for servers that take one."""
    candidates: int = 1
    """Names that are asked for, each from other crops. The name is kept that tells best where the feature fires."""
    clusters: int = 1
    """Groups into which a feature's crops are parted at most, each named by itself."""
    notes: str = ""
    """Text that the VLM is told besides, e.g. of the layer."""
    evidence: Evidence = "peaks"
    """What is shown of a feature. Without a sample of active cells it is peaks, whatever is set."""

    @property
    def config(self) -> dict[str, Any]:
        """What identifies a labeler. Earlier versions showed peaks, and did not say so."""
        return {key: value for key, value in asdict(self).items() if (key, value) != ("evidence", "peaks")}


class FeatureMessages:
    """Writes the request for a feature's name. Encoded pictures are kept, because many features share them."""

    def __init__(self, options: VlmOptions, prompt: PromptFile) -> None:
        self.options = options
        self._prompt = prompt
        self._wholes = KeptPictures()

    def evidence_of(self, feature: FeatureEvidence) -> FeatureEvidence:
        """Return the feature with the pictures that the options choose as its crops, strongest first."""
        if self.options.evidence == "peaks" or not feature.cells:
            return feature
        drawn = sorted(feature.cells, key=lambda crop: (-crop.activation, crop.image_id))
        return replace(feature, crops=tuple(drawn), cells=())

    def of(self, feature: FeatureEvidence) -> list[Message]:
        """Return the request for one feature, whose crops are those of `evidence_of`."""
        options = self.options
        strongest = max((crop.activation for crop in feature.crops), default=0.0)
        is_drawn = all(crop.role == "active" for crop in feature.crops)
        fired = [crop for crop in feature.crops if is_drawn or crop.activation >= options.floor * strongest]
        crops = spread(fired, options.crops)
        is_mapped = is_drawn and options.evidence == "maps"
        view = mapped_view if is_mapped else marked_view
        negatives = feature.negatives[: options.negatives]
        if options.sheet:
            tiles = [
                (f"Example {n}:", [*(whole_picture(crop) if options.context else []), *view(crop, options.mark)])
                for n, crop in enumerate(crops, 1)
            ]
            tiles += [(f"Does not fire, {n}:", whole_picture(crop)) for n, crop in enumerate(negatives, 1)]
            content = shown(tiles, options.image_format, sheet=True)
        else:
            content = []
            for number, crop in enumerate(crops, 1):
                content.append(text_part(f"Example {number}:"))
                content += self._wholes.parts(crop, options.image_format) if options.context else []
                content += [image_part(one, options.image_format) for one in view(crop, options.mark)]
            for number, crop in enumerate(negatives, 1):
                content.append(text_part(f"Does not fire, {number}:"))
                content += self._wholes.parts(crop, options.image_format)
        told = self._prompt.render(
            marked=True,
            mapped=is_mapped,
            mark=TOLD[options.mark],
            context=options.context,
            negatives=bool(negatives),
            notes=options.notes,
        )
        return [{"role": "system", "content": told}, {"role": "user", "content": content}]


def spread(crops: Sequence[CropEvidence], n: int) -> list[CropEvidence]:
    """Return `n` crops at even distances in a list that is sorted by activation, the first and the last among them."""
    if len(crops) <= n:
        return list(crops)
    if n <= 1:
        return list(crops[:n])
    return [crops[round(i * (len(crops) - 1) / (n - 1))] for i in range(n)]
