"""What an import found, and the exact folds by which other conventions become ours.

Ours: `pre_acts = (acts - b_dec) @ W_enc + b_enc`, with `W_enc` [d, n], `b_enc` [n], `W_dec` [n, d] and `b_dec` [d].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import torch

from autointerp.dictionaries.formats.configuration import is_of_shape
from autointerp.dictionaries.formats.source import Source, Tensors
from autointerp.dictionaries.protocol import Dictionary
from autointerp.errors import AutointerpError


@dataclass(frozen=True)
class Imported:
    """A dictionary from another tool's files, and what they say of it.

    `hookpoint`, `signal` and `model` are None where the files do not say. `notes` are the assumptions made on reading.
    `provenance` is our own record, where the files carry one.
    """

    dictionary: Dictionary
    hookpoint: str | None = None
    signal: str | None = None
    model: str | None = None
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)


class Format(Protocol):
    """A module of `autointerp.dictionaries.formats`; one that can be written has `write` as well."""

    NAME: str
    """What `--format` calls it."""

    def detect(self, source: Source) -> bool:
        """Whether the contents are of this format."""
        ...

    def read(self, source: Source, k: int | None) -> Imported:
        """Read it; `k` is the user's, for files that do not hold it.

        Raises:
            AutointerpError: A file is missing, damaged or inconsistent, or the dictionary cannot be expressed exactly.
        """
        ...


def refuse(source: Source, what: str, hint: str) -> NoReturn:
    """Refuse a dictionary that would not be the same here."""
    raise AutointerpError(f"{source.asked}: {what}", hint)


def check_size(source: Source, tensors: Tensors, what: Mapping[str, tuple[Any, int]]) -> None:
    """Refuse weights of other sizes than their configuration says.

    Args:
        source: The files, for messages.
        tensors: The weights, for messages.
        what: Key of the configuration -> its value, None where it does not say, and the size of the weights.

    Raises:
        AutointerpError: They differ; swapped sizes are named as a transposition.
    """
    sizes = [size for _, size in what.values()]
    said = [value for value, _ in what.values()]
    if all(is_of_shape(value, size) for value, size in what.values()):
        return
    turned = " (as if they were transposed)" if said == sizes[::-1] else ""
    words = ", ".join(f"{key} {value!r}" for key, (value, _) in what.items() if value is not None)
    refuse(
        source,
        f"the weights in {tensors.path.name} are {sizes}{turned}, but the configuration says otherwise: {words}",
        "fetch both again",
    )


def b_enc_without_b_dec(W_enc: torch.Tensor, b_enc: torch.Tensor, b_dec: torch.Tensor) -> torch.Tensor:
    """The `b_enc` of our convention for an encoder `acts @ W_enc + b_enc` that does not subtract `b_dec` first."""
    return (b_enc.double() + b_dec.double() @ W_enc.double()).float()


def b_enc_subtracting_nothing(W_enc: torch.Tensor, b_enc: torch.Tensor, b_dec: torch.Tensor) -> torch.Tensor:
    """The inverse of `b_enc_without_b_dec`, for formats whose encoder does not subtract `b_dec`."""
    return b_enc_without_b_dec(W_enc, b_enc, -b_dec)


def unit_decoder(
    W_enc: torch.Tensor, b_enc: torch.Tensor, W_dec: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of `W_dec` scaled to length 1 and latents the other way, so that the sum stays as it is.

    Exact for activations that scale with their latent (ReLU); a top-k then chooses among the scaled ones. A row of
    zeros stays one.
    """
    norm = W_dec.double().norm(dim=1)
    scale = torch.where(norm > 0, norm, torch.ones_like(norm)).float()
    return W_enc * scale, b_enc * scale, W_dec / scale[:, None]
