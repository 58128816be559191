"""Embedders by name: the one of the world of shapes, or any CLIP of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from autointerp.errors import AutointerpError
from autointerp.hub import hub_answers, refusal
from autointerp.search.protocol import Embedder

if TYPE_CHECKING:
    from PIL import Image

SHAPES_CLIP = "shapes-clip"
_BATCH = 64


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one, float32 [n, dim]; a zero row stays zero."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


class TransformersClip:
    """A `CLIPModel` of transformers with its processor, from a folder or the Hugging Face hub."""

    def __init__(self, model: Any, processor: Any, name: str, device: str = "cpu") -> None:
        self.name, self.device = name, device
        self._model, self._processor = model.to(device).eval(), processor
        self.dim = int(model.config.projection_dim)

    @classmethod
    def load(cls, name: str, device: str = "cpu", local_files_only: bool = False) -> TransformersClip:
        """Load a CLIP model; with `local_files_only` the hub is never asked.

        Raises:
            AutointerpError: there is none under this name.
        """
        from transformers import CLIPModel, CLIPProcessor

        # Without a network the hub's client would try again for half a minute.
        where = {} if Path(name).is_dir() else {"local_files_only": not hub_answers(local_files_only)}
        try:
            model = CLIPModel.from_pretrained(name, **where)
            processor = CLIPProcessor.from_pretrained(name, **where)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            other = f"name a CLIP model of transformers (a folder or a hub id), or {SHAPES_CLIP!r}"
            known = refusal(error, name, "embedder", local_files_only=local_files_only)
            if known is not None:
                raise AutointerpError(known.message, f"{known.hint}; or {other}", retryable=known.retryable) from error
            reason = " ".join(str(error).split())[:200]
            raise AutointerpError(f"cannot load the embedder {name!r}: {reason}", other) from error
        return cls(model, processor, name, device)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, float32 [n, dim]."""
        return self._embed(list(texts), "text")

    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Unit vectors of pictures, float32 [n, dim]."""
        return self._embed([image.convert("RGB") for image in images], "images")

    def _embed(self, items: list[Any], kind: str) -> np.ndarray:
        import torch

        found = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(items), _BATCH):
            batch: dict[str, Any] = {kind: items[start : start + _BATCH], "return_tensors": "pt"}
            if kind == "text":
                batch |= {"padding": True, "truncation": True}
            inputs = self._processor(**batch).to(self.device)
            with torch.inference_mode():
                features = self._model.get_text_features if kind == "text" else self._model.get_image_features
                out = features(**inputs)
            vectors = out if isinstance(out, torch.Tensor) else out.pooler_output
            found.append(unit(vectors.float().cpu().numpy()))
        return np.concatenate(found)


def load_embedder(name: str, device: str = "cpu", local_files_only: bool = False) -> Embedder:
    """The embedder of a name: `shapes-clip`, or a folder or hub id of a transformers CLIP model.

    With `local_files_only` the hub is never asked.

    Raises:
        AutointerpError: there is none under this name.
    """
    if not name.strip():
        raise AutointerpError("the embedder has no name", f"name {SHAPES_CLIP!r}, a folder, or a hub id")
    if name == SHAPES_CLIP:
        from autointerp.shapes.clip import ShapesClip

        return cast("Embedder", ShapesClip.load())
    return TransformersClip.load(name, device, local_files_only)
