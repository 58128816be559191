"""Boxes of the things that phrases name: Grounding DINO of transformers, with one picture at a time.

A box gets a phrase by the detector's own score of the phrase's tokens, and not by the text that the best tokens spell:
phrases that share words (`cat`, `black cat`) then keep their own boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.labeling.segments.loading import commit_of, loading

if TYPE_CHECKING:
    from PIL import Image

_KINDS = ("grounding-dino", "mm-grounding-dino")
"""Model types that the detector may be of."""
_TOKENS = 250
"""Tokens of a text at most; Grounding DINO was trained with 256."""


@dataclass(frozen=True)
class PhraseBox:
    """A thing that a phrase names.

    Attributes:
        phrase: The phrase.
        box: (left, top, right, bottom) in pixels of the picture, not rounded.
        confidence: The detector's mean score of the phrase's tokens, from 0 to 1.
    """

    phrase: str
    box: tuple[float, float, float, float]
    confidence: float


class PhraseDetector:
    """Finds boxes of phrases in a picture.

    Args:
        model: `GroundingDinoForObjectDetection`, or its MM variant.
        tokenizer: Its tokenizer.
        processor: Its processor of pictures.
        name: Name of the model, with its commit.
        least: Least confidence of a box.
    """

    def __init__(self, model: Any, tokenizer: Any, processor: Any, name: str, least: float) -> None:
        self.name, self.least = name, least
        self._model, self._tokenizer, self._processor = model.eval(), tokenizer, processor

    @classmethod
    def load(cls, name: str, least: float, device: str = "cpu", local_files_only: bool = False) -> PhraseDetector:
        """Load a detector from a folder or the hub.

        Raises:
            AutointerpError: It is not there, cannot be fetched, or is no detector of phrases.
        """
        with loading(name, "detector", _KINDS, local_files_only) as where:
            from transformers import AutoImageProcessor, AutoModelForZeroShotObjectDetection, AutoTokenizer

            model = AutoModelForZeroShotObjectDetection.from_pretrained(name, **where).to(device)
            tokenizer = AutoTokenizer.from_pretrained(name, **where)
            processor = AutoImageProcessor.from_pretrained(name, **where)
            return cls(model, tokenizer, processor, f"{name}@{commit_of(name, model)}", least)

    def detect(self, picture: Image.Image, phrases: Sequence[str]) -> list[PhraseBox]:
        """Find the things that phrases name, the surest first.

        Args:
            picture: The picture.
            phrases: The phrases, without full stops. As many are asked about at once as the detector's text holds.
        """
        found: list[PhraseBox] = []
        for some in self._texts(phrases):
            found += self._detect(picture, some)
        return sorted(found, key=lambda one: (-one.confidence, one.phrase, one.box))

    def _texts(self, phrases: Sequence[str]) -> Iterator[list[str]]:
        """Part phrases into texts that the detector can read."""
        some: list[str] = []
        used = 2
        for phrase in dict.fromkeys(phrases):
            tokens = len(self._tokenizer(phrase, add_special_tokens=False).input_ids) + 1
            if some and used + tokens > _TOKENS:
                yield some
                some, used = [], 2
            some.append(phrase)
            used += tokens
        if some:
            yield some

    def _detect(self, picture: Image.Image, phrases: Sequence[str]) -> list[PhraseBox]:
        import torch

        text, spans = "", []
        for phrase in phrases:
            spans.append((len(text), len(text) + len(phrase)))
            text += f"{phrase}. "
        device = next(self._model.parameters()).device
        tokens = self._tokenizer(
            text.rstrip(), return_tensors="pt", return_offsets_mapping=True, return_token_type_ids=True
        )
        offsets = tokens.pop("offset_mapping")[0].numpy()
        seen = self._processor(picture.convert("RGB"), return_tensors="pt")
        with torch.inference_mode():
            answer = self._model(**{key: value.to(device) for key, value in {**tokens, **seen}.items()})
        scores = answer.logits[0].float().sigmoid().cpu().numpy()[:, : len(offsets)]
        boxes = _corners(answer.pred_boxes[0].float().cpu().numpy(), picture.size)
        found = []
        for phrase, (start, end) in zip(phrases, spans, strict=True):
            own = (offsets[:, 0] >= start) & (offsets[:, 1] <= end) & (offsets[:, 1] > offsets[:, 0])
            sure = scores[:, own].mean(1) if own.any() else np.zeros(len(scores))
            kept = np.flatnonzero(sure >= self.least)
            found += [PhraseBox(phrase, tuple(boxes[i].tolist()), round(float(sure[i]), 4)) for i in kept]
        return found


def _corners(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Turn boxes [n, 4] of (center x, center y, width, height), in shares, into corners in pixels of the picture."""
    center, half = boxes[:, :2], boxes[:, 2:] / 2
    corners = np.concatenate([center - half, center + half], 1).clip(0, 1)
    return np.asarray(corners * np.array([*size, *size], np.float32))
