"""shapes-clip: the embedder of the shapes world, a small transformers `CLIPModel` trained on its crops and phrases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from autointerp.files import sha256_of

if TYPE_CHECKING:
    from PIL import Image

FOLDER = Path(__file__).parent / "weights" / "clip"
PARTS = FOLDER / "parts.json"
"""The reader of parts (`labeling/cells.py`) that was fitted for the shipped weights."""


class ShapesClip:
    """An `Embedder` of crops and phrases; texts are read in lower case."""

    def __init__(self, model: Any, processor: Any, tokenizer: Any, name: str, batch: int = 128) -> None:
        self.name = name
        self.dim = int(model.config.projection_dim)
        self._model, self._processor, self._tokenizer, self._batch = model.float().eval(), processor, tokenizer, batch

    @classmethod
    def load(cls, folder: Path = FOLDER) -> ShapesClip:
        """The shipped model, or another one saved the same way; named by its weights' hash."""
        from transformers import CLIPModel, CLIPTokenizer
        from transformers.utils import logging

        digest = sha256_of(folder / "model.safetensors")
        # Without torchvision the image processor warns that it falls back to Pillow, which is what we want.
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            from transformers import CLIPImageProcessor

            processor = CLIPImageProcessor.from_pretrained(folder)
        finally:
            logging.set_verbosity(verbosity)
        model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        return cls(model, processor, CLIPTokenizer.from_pretrained(folder), f"shapes-clip@{digest[:12]}")

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, float32 [n, dim]."""
        parts = []
        for start in range(0, len(texts), self._batch):
            lower = [text.lower() for text in texts[start : start + self._batch]]
            tokens = self._tokenizer(
                lower, padding=True, truncation=True, max_length=self._tokenizer.model_max_length, return_tensors="pt"
            )
            pooled = self._model.text_model(input_ids=tokens.input_ids).pooler_output
            parts.append(F.normalize(self._model.text_projection(pooled), dim=-1))
        return torch.cat(parts).numpy() if parts else np.zeros((0, self.dim), np.float32)

    @torch.inference_mode()
    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Unit vectors of RGB pictures of any size, float32 [n, dim]."""
        parts = []
        for start in range(0, len(images), self._batch):
            rgb = [image.convert("RGB") for image in images[start : start + self._batch]]
            pixels = self._processor(rgb, return_tensors="pt").pixel_values
            pooled = self._model.vision_model(pixel_values=pixels.float()).pooler_output
            parts.append(F.normalize(self._model.visual_projection(pooled), dim=-1))
        return torch.cat(parts).numpy() if parts else np.zeros((0, self.dim), np.float32)
