"""Answers of a model on this machine kept to a form: token by token, or as a choice among a few texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Choice:
    """A reply that is one of a few texts between an opening and a closing."""

    opening: str
    texts: tuple[str, ...]
    closing: str


VERDICT = Choice('{"answers": [', ("true", "false"), "]}")
"""The reply to a question of detection or fuzzing about one picture."""


class Form(Protocol):
    """The form of a reply, as token ids."""

    def allowed(self, reply: Sequence[int]) -> frozenset[int]:
        """Return the ids that may follow those of a reply so far."""
        ...

    def closing(self, reply: Sequence[int]) -> str | None:
        """Return the text that ends a reply whose rest nobody reads; None where the reply goes on."""
        ...


class FormConstraint:
    """Keeps a batch of replies to a form while `generate` of transformers writes them.

    Args:
        form: The form.
        start: Where the replies begin in the token ids [requests, tokens] that `generate` passes.
    """

    def __init__(self, form: Form, start: int) -> None:
        self._form, self._start = form, start
        self._masks: dict[frozenset[int], torch.Tensor] = {}

    def limit(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores [requests, vocabulary] in which the tokens that may not come are at minus infinity."""
        import torch

        masks = []
        for reply in ids[:, self._start :].tolist():
            allowed = self._form.allowed(reply)
            if allowed not in self._masks:
                mask = torch.ones(scores.shape[1], dtype=torch.bool)
                mask[list(allowed)] = False
                self._masks[allowed] = mask.to(scores.device)
            masks.append(self._masks[allowed])
        return scores.masked_fill(torch.stack(masks), float("-inf"))

    def closed(self, ids: torch.Tensor, _scores: Any, **_options: Any) -> torch.Tensor:
        """Return which replies are at an end, bool [requests]."""
        import torch

        replies = ids[:, self._start :].tolist()
        return torch.tensor([self._form.closing(reply) is not None for reply in replies], device=ids.device)
