"""shapes-vlm: the vision-language model of the shapes world, a small LLaVA trained on this project's own prompts.

Its folder is a model as transformers saves one: `LlavaForConditionalGeneration`, processor, tokenizer and chat
template, so that transformers' Auto classes load it and `transformers serve` serves it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from autointerp.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image

FOLDER = Path(__file__).parent / "weights" / "vlm"


class ShapesVlm:
    """Answers chat requests about pictures, greedily, several at once."""

    def __init__(self, model: Any, processor: Any, name: str, batch: int = 8) -> None:
        self.name = name
        self._model, self._processor, self._batch = model.float().eval(), processor, batch

    @classmethod
    def load(cls, folder: Path = FOLDER, batch: int = 8) -> ShapesVlm:
        """The shipped model, or another one saved the same way; named by its weights' hash."""
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils import logging

        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        # Without torchvision the image processor warns that it falls back to Pillow, which is what we want.
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            processor = AutoProcessor.from_pretrained(folder)
        finally:
            logging.set_verbosity(verbosity)
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        return cls(model, processor, f"shapes-vlm@{digest[:12]}", batch)

    @torch.inference_mode()
    def answer(self, requests: Sequence[list[dict[str, Any]]], max_new_tokens: int = 256) -> list[str]:
        """Answer requests, each a list of messages as Chat Completions takes them.

        A content part is a text, an `image_url` with a data URI, or `{"type": "image", "image": picture}`.

        Args:
            requests: One list of messages a request.
            max_new_tokens: The longest answer; a longer one is cut off, and then is no JSON.

        Returns:
            The answers, in the order of the requests.

        Raises:
            UsageError: An image is neither a picture nor a data URI of one.
        """
        if not requests:
            return []
        texts = self._processor.apply_chat_template(list(requests), add_generation_prompt=True, tokenize=False)
        images = [_images(messages) for messages in requests]
        # Of like length together: a batch is padded to its longest request.
        order = sorted(range(len(texts)), key=lambda i: (len(images[i]), len(texts[i])))
        answers = [""] * len(texts)
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            shown = [images[i] for i in chosen]
            inputs = self._processor(
                text=[texts[i] for i in chosen],
                images=shown if any(shown) else None,
                padding=True,
                return_tensors="pt",
            )
            inputs.pop("token_type_ids", None)
            made = self._model.generate(**inputs, do_sample=False, max_new_tokens=max_new_tokens)
            said = self._processor.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            for i, text in zip(chosen, said, strict=True):
                answers[i] = text
        return answers


def _images(messages: Sequence[dict[str, Any]]) -> list[Image.Image]:
    found = []
    for message in messages:
        if isinstance(message["content"], str):
            continue
        for part in message["content"]:
            if part["type"] == "image":
                found.append(part["image"].convert("RGB"))
            elif part["type"] == "image_url":
                found.append(_decoded(part["image_url"]["url"]))
    return found


def _decoded(uri: str) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    head, _, data = uri.partition(";base64,")
    try:
        if not head.startswith("data:image/"):
            raise ValueError("it is no data URI of an image")
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
            return picture.convert("RGB")
    except (ValueError, binascii.Error, UnidentifiedImageError, OSError) as error:
        raise UsageError(f"an image cannot be read: {error}", "send pictures as data URIs") from error
