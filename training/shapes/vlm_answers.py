"""Replies of shapes-vlm as they are learned: prompts and replies to rows of tokens, and the loss of what is replied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from autointerp.shapes.reply_form import EXPLANATION, FIRST_PART
from training.shapes.vlm_features import TOKENS
from training.shapes.vlm_text import IMAGE, SAME, plain_tokenizer

SPELLED = ((0.0, 0.0), (1.0, 0.0), (0.1, 0.3))
"""How prompts are changed: the shares of their known lines that are spelled out, and left out."""


def draw_spelling(rng: np.random.Generator) -> tuple[float, float]:
    """Draw how the prompts of a batch are changed: most often not at all."""
    return SPELLED[int(rng.choice(3, p=[0.9, 0.03, 0.07]))]


@dataclass(frozen=True)
class Row:
    """A prompt and its reply as tokens, and what each token of the reply weighs. All tokens of images are in `ids`."""

    ids: list[int]
    reply: list[int]
    weights: list[float]


class RowWriter:
    """Writes prompts and replies as tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self._plain = tokenizer, plain_tokenizer(tokenizer)
        self.image = tokenizer.convert_tokens_to_ids(IMAGE)

    def ids(self, text: str) -> list[int]:
        """Return a text's tokens."""
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return found

    def row(
        self,
        told: str,
        headings: Sequence[tuple[str, int]],
        reply: str,
        of_parts: float,
        spelling: tuple[float, float],
        rng: np.random.Generator,
    ) -> Row:
        """Write a request and its reply.

        Args:
            told: The system's text.
            headings: The texts before images, and how many images follow each.
            reply: What is replied; it ends before its parts if those weigh nothing.
            of_parts: What the parts of a reply weigh.
            spelling: See `SPELLED`.
            rng: Of what is spelled or left out.
        """
        ids = [*self.ids("<|system|>"), *self._told(told, *spelling, rng), *self.ids("<|user|>")]
        for heading, images in headings:
            ids += self.ids(heading) + [self.image] * (TOKENS * images)
        ids += self.ids("<|assistant|>")
        tokens = [*self.ids(reply), self.tokenizer.eos_token_id]
        tokens = tokens if of_parts else tokens[: self._until_parts(tokens)]
        return Row(ids, tokens, self._weights(tokens, of_parts))

    def _told(self, text: str, spell: float, drop: float, rng: np.random.Generator) -> list[int]:
        """The ids of a prompt, some of whose fixed lines are left out or spelled out."""
        if not spell and not drop:
            return self.ids(text)
        known = {i: phrase for phrase, i in self.tokenizer.get_added_vocab().items() if len(phrase.split()) > 5}
        ids: list[int] = []
        for i in self.ids(text):
            if i in known and rng.random() < drop:
                continue
            ids += self._plain.encode(known[i]).ids if i in known and rng.random() < spell else [i]
        return ids

    def _weights(self, reply: Sequence[int], of_parts: float) -> list[float]:
        """What each token of a reply weighs: most where it says a name or that there is none, least in the parts."""
        names = self.ids(EXPLANATION)[0]
        if reply[0] == self.ids(SAME)[0]:
            return [1.0] * len(reply)
        if names not in reply:
            said = self.tokenizer.convert_tokens_to_ids(["true", "false", ", true", ", false"])
            return [1.0 if token in said else 0.05 for token in reply]
        name = reply.index(names) + 1
        head = self._until_parts(reply)
        return [4.0] * name + [1.0] * (head - name) + [of_parts] * (len(reply) - head)

    def _until_parts(self, reply: Sequence[int]) -> int:
        begin = self.ids(FIRST_PART)[0]
        return reply.index(begin) if begin in reply else len(reply)


def reply_loss(
    vlm: Any, rows: Sequence[Row], image: int, pad: int, chosen: np.ndarray, features: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Weighted cross-entropy of replies, and the vectors of each layer at the images' tokens.

    Args:
        vlm: The LLaVA.
        rows: As many images in each.
        image: The id of an image's token.
        pad: The id that rows are filled up with.
        chosen: Which tokens of each image are shown, bool [images, TOKENS], as many in each row. They keep their
            places.
        features: What the eyes see at these, one after the other, float32 [tokens, width].
    """
    length = max(len(row.ids) + len(row.reply) for row in rows)
    tokens, weights = torch.full((len(rows), length), pad), torch.zeros(len(rows), length)
    for i, row in enumerate(rows):
        begin, end = len(row.ids), len(row.ids) + len(row.reply)
        tokens[i, :end] = torch.tensor([*row.ids, *row.reply])
        weights[i, begin:end] = torch.tensor(row.weights)
    is_image = tokens == image
    keep = torch.ones_like(is_image)
    keep[is_image] = torch.from_numpy(chosen).reshape(-1)
    places = torch.arange(length).expand(len(rows), -1)
    tokens, weights, places = (x[keep].reshape(len(rows), -1) for x in (tokens, weights, places))
    model = vlm.model
    embedded = model.language_model.embed_tokens(tokens)
    projected = model.multi_modal_projector(features)
    embedded = embedded.masked_scatter((tokens == image)[..., None], projected)
    # Without a mask places with gaps would be taken for the ends of sequences that see nothing of one another.
    out = model.language_model(
        inputs_embeds=embedded,
        attention_mask=(tokens != pad).long(),
        position_ids=places,
        use_cache=False,
        output_hidden_states=True,
    )
    said = weights[:, 1:] > 0
    logits = vlm.lm_head(out.last_hidden_state[:, :-1][said])
    losses = F.cross_entropy(logits, tokens[:, 1:][said], reduction="none")
    weight = weights[:, 1:][said]
    at_images = [layer[tokens == image] for layer in out.hidden_states]
    return (losses * weight).sum() / weight.sum(), at_images


def binary_loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of yes and no, summed over words."""
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(-1).mean()


def save_vlm(vlm: Any, processor: Any, folder: Any) -> None:
    """Write a model in half precision, with its processor, tokenizer and chat template."""
    tokenizer = processor.tokenizer
    vlm.generation_config.do_sample = False
    vlm.generation_config.eos_token_id = tokenizer.eos_token_id
    vlm.generation_config.pad_token_id = tokenizer.pad_token_id
    vlm.generation_config.max_new_tokens = 256
    vlm.half().save_pretrained(folder)
    vlm.float()
    processor.save_pretrained(folder)
    # Its weights are written for their owner alone, but are shipped.
    for path in folder.iterdir():
        path.chmod(0o644)
