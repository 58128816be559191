"""What a dictionary is: the one seam that every kind, every fit and every import goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch


class SparseCode(NamedTuple):
    """Activations of the few latents that fire, never a dense [n, num_latents] code.

    `latent_acts`: float [n, k], non-negative, largest first. `latent_indices`: int64 [n, k]. An unused slot holds
    act 0 and index 0.
    """

    latent_acts: torch.Tensor
    latent_indices: torch.Tensor


@runtime_checkable
class Dictionary(Protocol):
    """Decomposes a layer's activations into sparse, non-negative sums of directions.

    Takes raw activations: any input normalisation is folded into the stored weights.
    """

    kind: str
    d_in: int
    num_latents: int
    k: int

    @property
    def directions(self) -> torch.Tensor:
        """Each latent's direction in raw activation space, float32 [num_latents, d_in]."""
        ...

    def encode(self, acts: torch.Tensor) -> SparseCode:
        """Encode raw activations `acts`: [n, d_in], any float dtype, on the dictionary's device."""
        ...

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations, float32 [n, d_in]."""
        ...

    def to(self, device: str) -> Dictionary:
        """Move the weights; returns the dictionary itself."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """What `cfg.json` and `weights.safetensors` hold: (config, tensors)."""
        ...
