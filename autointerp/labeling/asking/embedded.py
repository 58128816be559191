"""Requests to a VLM as embeddings. What repeats from request to request is computed once.

Features of a picture are kept by the picture's digest, token ids by the words, and the keys and values of a prompt up
to its first picture by that prompt's words: the trials of one label share all of that and differ in a picture alone.

That is exact for models whose language model gets a row of embeddings and nothing else of the pictures, as LLaVA,
Idefics3, SmolVLM and InternVL. Others get positions in two dimensions (Qwen2-VL), a mask (PaliGemma) or layers of
features beside it. So the first request shows what a model's language model gets, and what it answers.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache
from typing_extensions import Self

from autointerp.errors import is_out_of_memory

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.labeling.asking.pictures import Picture

_FEATURE_BYTES = 256 * 2**20
"""Memory for the features of pictures."""
_TEXTS, _PROMPTS = 4096, 64
"""How many texts' token ids, and how many prompts' keys and values, are kept."""
_ERROR, _HALF_ERROR = 1e-3, 5e-2
"""How far embeddings and logits may be apart, as a share of the largest: in float32, and in half precision."""
_KNOWN = frozenset(
    ["inputs_embeds", "attention_mask", "position_ids", "past_key_values", "use_cache", "cache_position", "return_dict"]
)
"""What a language model may be given, whatever the pictures are."""


class _Reached(Exception):
    """Ends a pass of a model where its language model begins, with what that was given."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        self.given = given


def processed(
    model: Any, processor: Any, texts: Sequence[str], images: Sequence[Sequence[Image.Image]], **options: Any
) -> dict[str, Any]:
    """Return a batch of requests as a model's own processor writes them, on the model's device and in its dtype."""
    import torch

    shown = [list(some) for some in images] if any(images) else None
    inputs = processor(text=list(texts), images=shown, padding=True, return_tensors="pt", **options).to(model.device)
    inputs.pop("token_type_ids", None)
    return {k: v.to(model.dtype) if torch.is_floating_point(v) else v for k, v in inputs.items()}


class EmbeddedInputs:
    """Makes embeddings of requests, as the model's own processor and embeddings would. Threads may share one.

    Args:
        model: An image-text-to-text model of transformers.
        processor: Its processor, which writes an image token for each picture.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model, processor
        self._lock = threading.Lock()
        self._features: LRUCache[Hashable, torch.Tensor] = LRUCache(_FEATURE_BYTES, lambda kept: kept.nbytes)
        self._ids: LRUCache[tuple[str, bool], list[int]] = LRUCache(_TEXTS)
        self._prompts: LRUCache[str, Any] = LRUCache(_PROMPTS)
        self._exact: dict[bool, bool] = {}
        """Whether embeddings give the same, for requests of one picture and of several."""

    @classmethod
    def of(cls, model: Any, processor: Any) -> Self | None:
        """Return the inputs of a model; None where its processor writes no image token."""
        has = isinstance(getattr(processor, "image_token", None), str) and hasattr(model, "get_decoder")
        return cls(model, processor) if has else None

    def fits(self, text: str, pictures: Sequence[Picture]) -> bool:
        """Return whether embeddings give what the plain way gives.

        The first request with one picture decides for all of one, and the first with several for all of several:
        models may cut a single picture into tiles.
        """
        if not pictures:
            return any(self._exact.values())
        several = len(pictures) > 1
        if several not in self._exact:
            try:
                self._exact[several] = self._is_exact(text, pictures)
            except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
                if is_out_of_memory(error):
                    raise
                # A class of model that cannot be run this way.
                self._exact[several] = False
        return self._exact[several]

    def _is_exact(self, text: str, pictures: Sequence[Picture]) -> bool:
        """Compare a request's embeddings, and the logits after it, with those of the plain way."""
        import torch

        inputs = processed(self._model, self._processor, [text], [[picture.image for picture in pictures]])
        given = self._given(inputs)
        theirs, places, mask = given["inputs_embeds"], given.get("position_ids"), given.get("attention_mask")
        in_order = torch.arange(theirs.shape[1], device=theirs.device)[None]
        if places is not None and not torch.equal(places, in_order):
            return False
        if mask is not None and not (isinstance(mask, torch.Tensor) and mask.ndim == 2 and bool(mask.all())):
            return False
        if any(name not in _KNOWN and value is not None and value is not False for name, value in given.items()):
            return False
        if not _close(self.embedded([text], [pictures])[0], theirs[0]):
            return False
        return _close(self.next_logits([text], [pictures])[0], self._model(**inputs).logits[:, -1])

    def _given(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run a model until its language model begins; return what that is given, by name.

        Raises:
            ValueError: The model has no language model that begins so.
        """
        mine = threading.get_ident()

        def reach(_module: Any, _given: Any, named: dict[str, Any]) -> None:
            if threading.get_ident() == mine:
                raise _Reached(named)

        hook = self._model.get_decoder().register_forward_pre_hook(reach, with_kwargs=True)
        try:
            self._model(**inputs)
        except _Reached as reached:
            return reached.given
        finally:
            hook.remove()
        raise ValueError("the language model was not reached")

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
            for digest, made in zip(new, self._new_features(list(new.values())), strict=True):
                known[digest] = kept = made.clone()
                with self._lock:
                    if kept.nbytes <= _FEATURE_BYTES:
                        self._features[digest] = kept
        return [features for picture in pictures if (features := known[picture.digest]) is not None]

    def _new_features(self, images: Sequence[Image.Image]) -> Sequence[torch.Tensor]:
        """Compute the features [tokens, width] of pictures: all embeddings that stand for the picture in a text."""
        marks, shown = [self._processor.image_token] * len(images), [[image] for image in images]
        inputs = processed(self._model, self._processor, marks, shown, add_special_tokens=False)
        rows = self._given(inputs)["inputs_embeds"]
        return [row[mask.bool()] for row, mask in zip(rows, inputs["attention_mask"], strict=True)]


def _close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Return whether two tensors are equal but for rounding."""
    import torch

    error = _ERROR if theirs.dtype == torch.float32 else _HALF_ERROR
    if ours.shape != theirs.shape:
        return False
    return bool((ours - theirs).abs().max() <= error * theirs.abs().max())
