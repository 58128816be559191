"""shapes-clip: the embedder of the shapes world, a small transformers `CLIPModel` trained on its crops and phrases.

Each half is loaded when it is first used, so that a search by text needs no transformers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.files import sha256_of

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.shapes.clip_text import ClipTextEncoder

FOLDER = Path(__file__).parent / "weights" / "clip"
PARTS = FOLDER / "parts.json"
"""The reader of parts (`labeling/evidence/cells.py`) that was fitted for the shipped weights."""


def shapes_clip_name(folder: Path = FOLDER) -> str:
    """Return the name of the shipped model, or of another one of the same form; it holds the hash of its weights."""
    return f"shapes-clip@{sha256_of(folder / 'model.safetensors')[:12]}"


class ShapesClip:
    """An `Embedder` of crops and phrases; texts are read in lower case."""

    def __init__(self, folder: Path = FOLDER, device: str = "cpu", batch: int = 128) -> None:
        self.name = shapes_clip_name(folder)
        self.dim = int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["projection_dim"])
        self._folder, self._device, self._batch = folder, device, batch

    @classmethod
    def load(cls, folder: Path = FOLDER, device: str = "cpu") -> ShapesClip:
        """Load the shipped model, or another one of the same form."""
        return cls(folder, device)

    @cached_property
    def _texts(self) -> ClipTextEncoder:
        from autointerp.shapes.clip_text import ClipTextEncoder

        return ClipTextEncoder(self._folder, self._device)

    @cached_property
    def _pictures(self) -> tuple[Any, Any]:
        """The model, and the processor of its pictures."""
        import torch
        from transformers import CLIPModel
        from transformers.utils import logging

        # Its progress bars would be printed in quiet commands too.
        logging.disable_progress_bar()
        # Without torchvision the image processor warns that it uses Pillow, as is intended here.
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            from transformers import CLIPImageProcessor

            processor = CLIPImageProcessor.from_pretrained(self._folder)
        finally:
            logging.set_verbosity(verbosity)
        model = CLIPModel.from_pretrained(self._folder, dtype=torch.float32)
        return model.float().eval().to(self._device), processor

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of texts, float32 [n, dim]."""
        parts = []
        for start in range(0, len(texts), self._batch):
            parts.append(self._texts([text.lower() for text in texts[start : start + self._batch]]).cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), np.float32)

    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Return unit vectors of RGB pictures of any size, float32 [n, dim]."""
        import torch
        import torch.nn.functional as F

        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), self._batch):
                model, processor = self._pictures
                rgb = [image.convert("RGB") for image in images[start : start + self._batch]]
                pixels = processor(rgb, return_tensors="pt").pixel_values
                pooled = model.vision_model(pixel_values=pixels.float().to(self._device)).pooler_output
                parts.append(F.normalize(model.visual_projection(pooled), dim=-1).cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), np.float32)


def load_shapes_clip(device: str = "cpu") -> ShapesClip:
    """Load the shipped embedder to a device."""
    return ShapesClip.load(device=device)
