"""What a dictionary is to rebuild, and what it rebuilds: its own input, or of a transcoder another tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import Dictionary, SparseCode


@runtime_checkable
class Transcoding(Protocol):
    """A dictionary that reads an input and rebuilds an output. Pairs of both lie side by side, [n, d_in + d_out]."""

    d_out: int

    def transcode(self, acts: torch.Tensor, code: SparseCode) -> torch.Tensor:
        """Rebuild outputs, float32 [n, d_out], from inputs or pairs and their code."""
        ...


def aimed_at(dictionary: Dictionary, acts: torch.Tensor) -> torch.Tensor:
    """Return what a dictionary is to rebuild of the activations, or pairs, that it encodes."""
    return acts[:, -dictionary.d_out :] if isinstance(dictionary, Transcoding) else acts


def rebuilt(dictionary: Dictionary, acts: torch.Tensor, code: SparseCode) -> torch.Tensor:
    """Rebuild that from a code, float32 [n, width]."""
    return dictionary.transcode(acts, code) if isinstance(dictionary, Transcoding) else dictionary.decode(code)
