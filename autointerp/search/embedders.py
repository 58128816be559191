"""Embedders by name: those of the package, and models of transformers from a folder or the hub.

CLIP, SigLIP and similar models embed texts and pictures. Other encoders of texts embed a text as the mean of its token
states, as sentence embedders do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.errors import AutointerpError
from autointerp.files import sha256_of
from autointerp.hub import cached_commit, hub_answers, refusal
from autointerp.registry import Kind, Registry
from autointerp.search.protocol import Embedder, TextEmbedder

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class EmbedderKind(Kind[Callable[[str], Embedder]]):
    """An embedder of the package as a row of the registry; `path` names the function that loads it to a device.

    Attributes:
        naming: `package.module:attribute` of the function that returns its name, and loads nothing.
    """

    naming: str = ""


_CLIP = "autointerp.shapes.clip"
EMBEDDED: Registry[EmbedderKind] = Registry(
    "embedder",
    [
        EmbedderKind(
            "shapes-clip", "reads crops and phrases of shapes", f"{_CLIP}:load_shapes_clip", f"{_CLIP}:shapes_clip_name"
        )
    ],
)
"""Embedders that come with the package."""
_EXAMPLE = next(iter(EMBEDDED))
_BATCH = 64
_LONGEST = 512
"""Tokens of a text at most, where the tokenizer names no lower limit."""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length one, float32 [n, dim]; a zero row stays zero."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


class SentenceEmbedder:
    """An encoder of texts of transformers. A text's vector is the mean of the last hidden states of its own tokens."""

    def __init__(self, model: Any, tokenizer: Any, name: str, device: str = "cpu") -> None:
        self.name, self.device = name, device
        self._model, self._tokenizer = model.to(device).eval(), tokenizer
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or _LONGEST
        self._longest = min(int(tokenizer.model_max_length), int(positions), _LONGEST)
        self.dim = int(self.embed_texts(["a"]).shape[1])

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: unit vectors, float32 [n, dim]."""
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
            parts = [vectors(part).float().cpu().numpy() for part in _batches(items)]
        return unit(np.concatenate(parts)) if parts else np.zeros((0, self.dim), np.float32)


class ImageTextEmbedder(SentenceEmbedder):
    """A model of transformers with `get_text_features` and `get_image_features`, e.g. CLIP or SigLIP."""

    def __init__(self, model: Any, tokenizer: Any, processor: Any, name: str, device: str = "cpu") -> None:
        self._processor = processor
        # SigLIP was trained on texts padded to full length, and takes no attention mask.
        self._full_length = model.config.model_type.startswith("siglip")
        super().__init__(model, tokenizer, name, device)

    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Embed pictures: unit vectors, float32 [n, dim]."""
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
    """Return the vectors of a model's output: transformers 5 wraps them in an object, older versions do not."""
    return getattr(out, "pooler_output", out)


def _load(name: str, device: str, local_files_only: bool) -> SentenceEmbedder:
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer
    from transformers.utils import logging

    # Its progress bars would be printed in quiet commands too.
    logging.disable_progress_bar()
    is_folder = Path(name).is_dir()
    # Without a network the hub's client would try again for half a minute.
    where = {} if is_folder else {"local_files_only": not hub_answers(local_files_only)}
    try:
        model = AutoModel.from_pretrained(name, **where)
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
        named = f"{name}@{_weights_of(Path(name)) if is_folder else str(model.config._commit_hash)[:12]}"
        if not hasattr(model, "get_image_features"):
            return SentenceEmbedder(model, tokenizer, named, device)
        return ImageTextEmbedder(model, tokenizer, AutoImageProcessor.from_pretrained(name, **where), named, device)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError, TypeError) as error:
        other = f"name a model of transformers that embeds texts and pictures (a folder or a hub id), or {_EXAMPLE!r}"
        known = refusal(error, name, "embedder", local_files_only=local_files_only)
        if known is not None:
            raise AutointerpError(known.message, f"{known.hint}; or {other}", retryable=known.retryable) from error
        reason = " ".join(str(error).split())[:200]
        raise AutointerpError(f"cannot load the embedder {name!r}: {reason}", other) from error


def _weights_of(folder: Path) -> str:
    """Return a digest of the weights in a folder, so that other weights in the same folder get another name."""
    return sha256_of(*sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]))[:12]


def name_before_loading(name: str) -> str | None:
    """Return the `name` that an embedder has once it is loaded; None where only loading tells it.

    Of a model of the hub this is the commit that was downloaded last. A newer one is noticed when the model is loaded.
    """
    if name in EMBEDDED:
        naming: Kind[Callable[[], str]] = Kind(name, "", EMBEDDED[name].naming)
        return naming.load()()
    folder = Path(name)
    if folder.is_dir():
        try:
            return f"{name}@{_weights_of(folder)}" if (folder / "config.json").is_file() else None
        except OSError:
            return None
    commit = cached_commit(name)
    return None if commit is None else f"{name}@{commit[:12]}"


def load_text_embedder(name: str, device: str = "cpu", local_files_only: bool = False) -> TextEmbedder:
    """Load an embedder of texts: any that `load_embedder` takes, or a model of transformers for texts alone.

    Raises:
        AutointerpError: There is no embedder of this name.
    """
    if not name.strip():
        raise AutointerpError("the embedder has no name", f"name {_EXAMPLE!r}, a folder, or a hub id")
    if name in EMBEDDED:
        return EMBEDDED[name].load()(device)
    return _load(name, device, local_files_only)


def load_embedder(name: str, device: str = "cpu", local_files_only: bool = False) -> Embedder:
    """Load an embedder of texts and pictures.

    Args:
        name: An embedder of the package (`EMBEDDED`), or a folder or hub id of a model of transformers.
        device: Where the model runs, as PyTorch names it.
        local_files_only: Never ask the hub.

    Raises:
        AutointerpError: There is no embedder of this name, or it embeds texts alone.
    """
    embedder = load_text_embedder(name, device, local_files_only)
    if not isinstance(embedder, Embedder):
        raise AutointerpError(
            f"the embedder {name!r} embeds texts alone",
            f"set it as text_embedder, and as embedder one that sees pictures too, or {_EXAMPLE!r}",
        )
    return embedder
