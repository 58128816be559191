"""What a dictionary is: the one seam that every kind, every fit and every import goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch


class SparseCode(NamedTuple):
    """Activations of the few latents that fire, never a dense [n, num_latents] code.

    `latent_acts`: float [n, k], non-negative, largest first. `latent_indices`: int64 [n, k]. An unused slot holds
    act 0 and index 0. Where the number of firing latents varies (JumpReLU, BatchTopK), k is that of the fullest row.
    """

    latent_acts: torch.Tensor
    latent_indices: torch.Tensor


@runtime_checkable
class Dictionary(Protocol):
    """Decomposes a layer's activations into sparse, non-negative sums of directions.

    Takes raw activations: any input normalisation is folded into the stored weights.
    """

    @property
    def kind(self) -> str:
        """One of `storage.KINDS`."""
        ...

    @property
    def d_in(self) -> int:
        """Width of the layer."""
        ...

    @property
    def num_latents(self) -> int:
        """How many latents there are."""
        ...

    @property
    def k(self) -> int | None:
        """Latents that fire in a token; about how many, where that varies; None where it is not known."""
        ...

    @property
    def directions(self) -> torch.Tensor:
        """Each latent's direction in raw activation space, float32 [num_latents, d_in]."""
        ...

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations `acts`: [n, d_in], any float dtype, on the dictionary's device.

        `step` is their 0-based denoising step, one for all or int64 [n]; most kinds do not look at it.
        """
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
