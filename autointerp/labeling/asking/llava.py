"""Requests to a LLaVA as embeddings, with a shorter way to the features of its pictures than that of any model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import Self, override

from autointerp.labeling.asking.embedded import EmbeddedInputs

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.labeling.asking.pictures import Picture


class LlavaInputs(EmbeddedInputs):
    """Makes embeddings of requests to a `LlavaForConditionalGeneration` with a `LlavaProcessor`."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor)
        self._fits: bool | None = None

    @classmethod
    @override
    def of(cls, model: Any, processor: Any) -> Self | None:
        """Return the inputs of a model of this class; None for any other."""
        known = type(model).__name__ == "LlavaForConditionalGeneration" and type(processor).__name__ == "LlavaProcessor"
        return cls(model, processor) if known else None

    @override
    def fits(self, text: str, pictures: Sequence[Picture]) -> bool:
        """Return whether token ids equal those of the processor; the first request with a picture decides for all.

        Some tokenizers write a word otherwise after a picture than at the beginning, so that pieces of a text do not
        make the whole.
        """
        if self._fits is None and pictures:
            images = [picture.image for picture in pictures]
            plain = self._processor(text=[text], images=images, return_tensors="pt")["input_ids"][0].tolist()
            mark, made = self._processor.image_token_id, list[int]()
            for n, ids in enumerate(self._pieces(text)):
                made += [mark] * (len(self._features_of(pictures[n - 1 : n])[0]) if n else 0) + ids
            self._fits = made == plain
        return bool(self._fits)

    @override
    def _new_features(self, images: Sequence[Image.Image]) -> Sequence[torch.Tensor]:
        """Compute the features [tokens, width] of pictures."""
        made: Sequence[torch.Tensor] = self._model.get_image_features(
            pixel_values=self._pixels(images), return_dict=True
        ).pooler_output
        return made

    def _pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return pictures as the model takes them, float [pictures, 3, height, width]."""
        processor = self._processor.image_processor
        size = dict(processor.size)
        if processor.do_resize and size.keys() == {"height", "width"}:
            # Resizing first gives the same pixels, and spares the processor the conversion of the large ones.
            wanted = size["width"], size["height"]
            images = [image if image.size == wanted else image.resize(wanted, processor.resample) for image in images]
        return processor(list(images), return_tensors="pt")["pixel_values"].to(self._model.device, self._model.dtype)
