"""The seam `Dictionary`, which every kind, every fit and every import goes through."""

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
class WidthEncoder(Protocol):
    """A dictionary whose code has as many slots as latents fire in its fullest row, and can be made without asking."""

    def encode_within(
        self, acts: torch.Tensor, step: int | torch.Tensor | None = None
    ) -> tuple[SparseCode, torch.Tensor]:
        """Encode as `Dictionary.encode` does, without waiting for the device.

        Returns:
            A code of some width, and the number of latents that fire in the fullest row, 0-dim. Where that is larger
            than the width, the code is cut off.
        """
        ...


@runtime_checkable
class Dictionary(Protocol):
    """A decomposition of a layer's activations into sparse, non-negative sums of directions.

    Raw activations go in: any input normalisation is folded into the stored weights.
    """

    @property
    def kind(self) -> str:
        """A name of the registry `kinds.KINDS`."""
        ...

    @property
    def d_in(self) -> int:
        """Width of the layer."""
        ...

    @property
    def num_latents(self) -> int:
        """Number of latents."""
        ...

    @property
    def k(self) -> int | None:
        """Number of latents that fire in a token, a mean where it varies; None where it is not known."""
        ...

    @property
    def directions(self) -> torch.Tensor:
        """Each latent's direction in raw activation space, float32 [num_latents, d_in]."""
        ...

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations `acts`: [n, d_in], any float dtype, on the dictionary's device.

        `step` is the 0-based denoising step of the activations, one for all or int64 [n]; most kinds ignore it.
        """
        ...

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations, float32 [n, d_in]."""
        ...

    def to(self, device: str) -> Dictionary:
        """Move the weights to a device, and return the dictionary itself."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return the contents of `cfg.json` and `weights.safetensors`: (config, tensors)."""
        ...
