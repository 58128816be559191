"""The request for a feature's name: the text and the pictures that a VLM is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autointerp.labeling.asking.messages import (
    TOLD,
    Mark,
    PictureForm,
    WholePictures,
    image_part,
    marked_view,
    shown,
    text_part,
    whole_picture,
)
from autointerp.labeling.asking.protocol import Message
from autointerp.labeling.asking.templates import PromptFile
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence


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


class FeatureMessages:
    """Writes the request for a feature's name. Encoded pictures are kept, because many features share them."""

    def __init__(self, options: VlmOptions, prompt: PromptFile) -> None:
        self.options = options
        self._prompt = prompt
        self._wholes = WholePictures()

    def of(self, feature: FeatureEvidence) -> list[Message]:
        """Return the request for one feature."""
        options = self.options
        strongest = max((crop.activation for crop in feature.crops), default=0.0)
        fired = [crop for crop in feature.crops if crop.activation >= options.floor * strongest]
        crops = spread(fired, options.crops)
        negatives = feature.negatives[: options.negatives]
        if options.sheet:
            tiles = [
                (f"Example {n}:", [*(whole_picture(crop) if options.context else []), *marked_view(crop, options.mark)])
                for n, crop in enumerate(crops, 1)
            ]
            tiles += [(f"Does not fire, {n}:", whole_picture(crop)) for n, crop in enumerate(negatives, 1)]
            content = shown(tiles, options.image_format, sheet=True)
        else:
            content = []
            for number, crop in enumerate(crops, 1):
                content.append(text_part(f"Example {number}:"))
                content += self._wholes.parts(crop, options.image_format) if options.context else []
                content += [image_part(view, options.image_format) for view in marked_view(crop, options.mark)]
            for number, crop in enumerate(negatives, 1):
                content.append(text_part(f"Does not fire, {number}:"))
                content += self._wholes.parts(crop, options.image_format)
        told = self._prompt.render(
            marked=True,
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
