"""Requests to a LLaVA as embeddings. What repeats from request to request is computed once.

Features of a picture are kept by the picture's digest, token ids by the words, and the keys and values of a prompt up
to its first picture by that prompt's words: the trials of one label share all of that and differ in a picture alone.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.labeling.asking.pictures import Picture

_FEATURE_BYTES = 256 * 2**20
"""Memory for the features of pictures."""
_TEXTS, _PROMPTS = 4096, 64
"""How many texts' token ids, and how many prompts' keys and values, are kept."""


class LlavaInputs:
    """Makes embeddings of requests, as the model's own processor and embeddings would. Threads may share one.

    Args:
        model: A `LlavaForConditionalGeneration`.
        processor: Its `LlavaProcessor`.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model, processor
        self._lock = threading.Lock()
        self._features: LRUCache[Hashable, torch.Tensor] = LRUCache(_FEATURE_BYTES, lambda kept: kept.nbytes)
        self._ids: LRUCache[tuple[str, bool], list[int]] = LRUCache(_TEXTS)
        self._prompts: LRUCache[str, Any] = LRUCache(_PROMPTS)
        self._fits: bool | None = None

    @classmethod
    def of(cls, model: Any, processor: Any) -> LlavaInputs | None:
        """Return the inputs of a model of this class; None for any other, whose pictures may depend on each other."""
        known = type(model).__name__ == "LlavaForConditionalGeneration" and type(processor).__name__ == "LlavaProcessor"
        return cls(model, processor) if known else None

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

    def embedded(self, texts: Sequence[str], pictures: Sequence[Sequence[Picture]]) -> list[torch.Tensor]:
        """Return requests as embeddings [tokens, width]; a text has the processor's image token for each picture."""
        import torch

        features = iter(self._features_of([picture for some in pictures for picture in some]))
        found = []
        for text in texts:
            first, *rest = (self._words(ids) for ids in self._pieces(text))
            found.append(torch.cat([first, *(part for words in rest for part in (next(features), words))]))
        return found

    def next_logits(
        self, texts: Sequence[str], pictures: Sequence[Sequence[Picture]]
    ) -> tuple[torch.Tensor, list[int]]:
        """Return the logits [requests, vocabulary] of the token after each request, and the requests' lengths."""
        import torch

        token = self._processor.image_token
        heads = [text.partition(token)[0] for text in texts]
        rests = self.embedded([text.removeprefix(head) for text, head in zip(texts, heads, strict=True)], pictures)
        groups: dict[tuple[str, int], list[int]] = {}
        for i, (head, rest) in enumerate(zip(heads, rests, strict=True)):
            groups.setdefault((head, len(rest)), []).append(i)
        found: list[torch.Tensor | None] = [None] * len(texts)
        lengths = [0] * len(texts)
        for (head, length), members in groups.items():
            known, logits = self._prompt(head)
            if length:
                cache = copy.deepcopy(known)
                cache.batch_repeat_interleave(len(members))
                batch = torch.stack([rests[i] for i in members])
                logits = self._model(inputs_embeds=batch, past_key_values=cache, logits_to_keep=1).logits[:, -1]
            for row, i in enumerate(members):
                found[i] = logits[row if length else 0]
                lengths[i] = length + known.get_seq_length()
        return torch.stack([one for one in found if one is not None]), lengths

    def _prompt(self, text: str) -> tuple[Any, torch.Tensor]:
        """Return keys and values of the beginning of a prompt, and the logits [1, vocabulary] after it."""
        with self._lock:
            known = self._prompts.get(text)
        if known is None:
            begun = self._words(self._token_ids(text, True))[None]
            made = self._model(inputs_embeds=begun, use_cache=True, logits_to_keep=1)
            known = made.past_key_values, made.logits[:, -1]
            with self._lock:
                self._prompts[text] = known
        return known

    def _pieces(self, text: str) -> list[list[int]]:
        """Return the token ids of a text's pieces between its pictures."""
        pieces = text.split(self._processor.image_token)
        return [self._token_ids(piece, n == 0) for n, piece in enumerate(pieces)]

    def _token_ids(self, text: str, begins: bool) -> list[int]:
        """Return the token ids of a text; with `begins`, with the tokens that begin a prompt."""
        with self._lock:
            known = self._ids.get((text, begins))
        if known is None:
            known = list(self._processor.tokenizer(text, add_special_tokens=begins)["input_ids"]) if text else []
            with self._lock:
                self._ids[text, begins] = known
        return known

    def _words(self, ids: Sequence[int]) -> torch.Tensor:
        """Return the embeddings [tokens, width] of token ids."""
        import torch

        table = self._model.get_input_embeddings()
        return table(torch.tensor(ids, dtype=torch.long, device=self._model.device))

    def _features_of(self, pictures: Sequence[Picture]) -> list[torch.Tensor]:
        """Return the features [tokens, width] of each picture."""
        with self._lock:
            known = {picture.digest: self._features.get(picture.digest) for picture in pictures}
        new = {picture.digest: picture.image for picture in pictures if known[picture.digest] is None}
        if new:
            pixels = self._pixels(list(new.values()))
            made = self._model.get_image_features(pixel_values=pixels, return_dict=True).pooler_output
            for digest, features in zip(new, made, strict=True):
                known[digest] = features = features.clone()
                with self._lock:
                    if features.nbytes <= _FEATURE_BYTES:
                        self._features[digest] = features
        return [features for picture in pictures if (features := known[picture.digest]) is not None]

    def _pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return pictures as the model takes them, float [pictures, 3, height, width]."""
        processor = self._processor.image_processor
        size = dict(processor.size)
        if processor.do_resize and size.keys() == {"height", "width"}:
            # Resizing first gives the same pixels, and spares the processor the conversion of the large ones.
            wanted = size["width"], size["height"]
            images = [image if image.size == wanted else image.resize(wanted, processor.resample) for image in images]
        return processor(list(images), return_tensors="pt")["pixel_values"].to(self._model.device, self._model.dtype)
