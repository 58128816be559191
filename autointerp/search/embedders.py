"""Embedders by name: the one of the world of shapes, and models of transformers from a folder or the hub.

CLIP, SigLIP and whatever else embeds both texts and pictures; models that embed texts alone, by the mean of their
token states, as sentence embedders do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from autointerp.errors import AutointerpError
from autointerp.hub import hub_answers, refusal
from autointerp.search.protocol import Embedder, TextEmbedder

if TYPE_CHECKING:
    from PIL import Image

SHAPES_CLIP = "shapes-clip"
_BATCH = 64
_LONGEST = 512
"""Tokens of a text at most, where the tokenizer names no limit."""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one, float32 [n, dim]; a zero row stays zero."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


class SentenceEmbedder:
    """Any encoder of texts of transformers: the mean of the last hidden states over a text's own tokens."""

    def __init__(self, model: Any, tokenizer: Any, name: str, device: str = "cpu") -> None:
        self.name, self.device = name, device
        self._model, self._tokenizer = model.to(device).eval(), tokenizer
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or _LONGEST
        self._longest = min(int(tokenizer.model_max_length), int(positions), _LONGEST)
        self.dim = int(self.embed_texts(["a"]).shape[1])

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, float32 [n, dim]."""
        return self._embed(list(texts), self._of_texts)

    def _tokens(self, texts: list[str], padding: str | bool = True) -> Any:
        given = {"padding": padding, "truncation": True, "max_length": self._longest, "return_tensors": "pt"}
        return self._tokenizer(texts, **given).to(self.device)

    def _of_texts(self, texts: list[Any]) -> Any:
        tokens = self._tokens(texts)
        encoder = self._model.get_encoder() if self._model.config.is_encoder_decoder else self._model
        states = encoder(**tokens).last_hidden_state
        own = tokens["attention_mask"][..., None].to(states.dtype)
        return (states * own).sum(1) / own.sum(1).clamp_min(1)

    def _embed(self, items: list[Any], vectors: Callable[[list[Any]], Any]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            found = [vectors(part).float().cpu().numpy() for part in _batches(items)]
        return unit(np.concatenate(found)) if found else np.zeros((0, self.dim), np.float32)


class ImageTextEmbedder(SentenceEmbedder):
    """A model of transformers with `get_text_features` and `get_image_features`: CLIP, SigLIP and their kin."""

    def __init__(self, model: Any, tokenizer: Any, processor: Any, name: str, device: str = "cpu") -> None:
        self._processor = processor
        # SigLIP was trained on texts padded to full length, and has no mask for them.
        self._full_length = model.config.model_type.startswith("siglip")
        super().__init__(model, tokenizer, name, device)

    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Unit vectors of pictures, float32 [n, dim]."""
        return self._embed([image.convert("RGB") for image in images], self._of_images)

    def _of_texts(self, texts: list[Any]) -> Any:
        if self._full_length:
            return _vector(self._model.get_text_features(input_ids=self._tokens(texts, "max_length")["input_ids"]))
        return _vector(self._model.get_text_features(**self._tokens(texts)))

    def _of_images(self, images: list[Any]) -> Any:
        return _vector(self._model.get_image_features(**self._processor(images, return_tensors="pt").to(self.device)))


def _batches(items: list[Any]) -> Iterator[list[Any]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))


def _vector(out: Any) -> Any:
    """What transformers 5 gives is an object, before that it was the vector."""
    return getattr(out, "pooler_output", out)


def _load(name: str, device: str, local_files_only: bool) -> SentenceEmbedder:
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    folder = Path(name).is_dir()
    # Without a network the hub's client would try again for half a minute.
    where = {} if folder else {"local_files_only": not hub_answers(local_files_only)}
    try:
        model = AutoModel.from_pretrained(name, **where)
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
        named = f"{name}@{_weights_of(Path(name)) if folder else str(model.config._commit_hash)[:12]}"
        if not hasattr(model, "get_image_features"):
            return SentenceEmbedder(model, tokenizer, named, device)
        return ImageTextEmbedder(model, tokenizer, AutoImageProcessor.from_pretrained(name, **where), named, device)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError, TypeError) as error:
        other = (
            f"name a model of transformers that embeds texts and pictures (a folder or a hub id), or {SHAPES_CLIP!r}"
        )
        known = refusal(error, name, "embedder", local_files_only=local_files_only)
        if known is not None:
            raise AutointerpError(known.message, f"{known.hint}; or {other}", retryable=known.retryable) from error
        reason = " ".join(str(error).split())[:200]
        raise AutointerpError(f"cannot load the embedder {name!r}: {reason}", other) from error


def _weights_of(folder: Path) -> str:
    """What the weights in a folder are, so that others in their place are not taken for them."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        with path.open("rb") as file:
            while part := file.read(2**20):
                digest.update(part)
    return digest.hexdigest()[:12]


def load_text_embedder(name: str, device: str = "cpu", local_files_only: bool = False) -> TextEmbedder:
    """The embedder of texts of a name: as `load_embedder`, and models of transformers that see no pictures.

    Raises:
        AutointerpError: There is none under this name.
    """
    if not name.strip():
        raise AutointerpError("the embedder has no name", f"name {SHAPES_CLIP!r}, a folder, or a hub id")
    if name == SHAPES_CLIP:
        from autointerp.shapes.clip import ShapesClip

        return ShapesClip.load()
    return _load(name, device, local_files_only)


def load_embedder(name: str, device: str = "cpu", local_files_only: bool = False) -> Embedder:
    """The embedder of a name: `shapes-clip`, or a folder or hub id of a model that embeds texts and pictures.

    With `local_files_only` the hub is never asked.

    Raises:
        AutointerpError: There is none under this name, or it sees no pictures.
    """
    found = load_text_embedder(name, device, local_files_only)
    if not hasattr(found, "embed_images"):
        raise AutointerpError(
            f"the embedder {name!r} embeds texts alone",
            f"set it as text_embedder, and as embedder one that sees pictures too, or {SHAPES_CLIP!r}",
        )
    return cast("Embedder", found)
