"""Transcoders: dictionaries that read the input of an MLP and rebuild its output (Dunefsky et al., arXiv 2406.11944).

A feature says what the MLP computes, not what its layer holds: it fires by the input, and its direction is what the
MLP then writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch

from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.sae import SAE, T
from autointerp.dictionaries.sparse import decode_sparse, select_positive, select_topk

Activation = Literal["topk", "relu", "jumprelu"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)


class Transcoder(SAE):
    """A transcoder, ready to encode inputs [n, d_in], or pairs of an input and an output, [n, d_in + d_out].

    Pre-activations are `inputs @ W_enc + b_enc`; outputs are rebuilt as `code @ W_dec + b_dec`, with
    `inputs @ W_skip.T` where there is a skip connection [d_out, d_in].

    Args:
        W_enc: float32 [d_in, num_latents].
        b_enc: float32 [num_latents].
        W_dec: float32 [num_latents, d_out]; `d_out` is `d_in`, as of an MLP.
        b_dec: float32 [d_out].
        k: Latents that fire, a mean where the number varies, or None where it is not known.
        activation: What leaves few latents.
        threshold: Of `jumprelu`, float32 [num_latents].

    Attributes:
        W_skip: The skip connection; None where there is none.
    """

    kind = "transcoder"

    def __init__(
        self,
        W_enc: torch.Tensor,
        b_enc: torch.Tensor,
        W_dec: torch.Tensor,
        b_dec: torch.Tensor,
        k: int | None,
        activation: Activation = "topk",
        threshold: torch.Tensor | None = None,
    ) -> None:
        super().__init__(W_enc, b_enc, W_dec, b_dec, k)
        if activation not in ACTIVATIONS or (threshold is None) == (activation == "jumprelu"):
            raise ValueError(f"no transcoder has the activation {activation!r} with such thresholds")
        self.d_out = W_dec.shape[1]
        self.activation, self.threshold = activation, threshold
        self.W_skip: torch.Tensor | None = None

    def pre_acts(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> torch.Tensor:
        """Return the pre-activations, float32 [n, num_latents], of inputs or pairs."""
        inputs = self._inputs(acts)
        if self.modulation is not None:
            inputs = self.modulation.apply(inputs, step)
        return torch.addmm(self.b_enc, inputs, self.W_enc)

    def select(self, pre_acts: torch.Tensor) -> SparseCode:
        """Apply the activation to pre-activations [n, num_latents]."""
        if self.activation == "topk":
            assert self.k is not None
            return select_topk(pre_acts, self.k)
        if self.threshold is not None:
            pre_acts = pre_acts.masked_fill(pre_acts <= self.threshold, 0)
        return select_positive(pre_acts.relu())

    def transcode(self, acts: torch.Tensor, code: SparseCode) -> torch.Tensor:
        """Rebuild outputs, float32 [n, d_out], from inputs or pairs and their code."""
        found = decode_sparse(code, self.W_dec) + self.b_dec
        return found if self.W_skip is None else found + self._inputs(acts) @ self.W_skip.T

    def _inputs(self, acts: torch.Tensor) -> torch.Tensor:
        return acts[:, : self.d_in].float()

    def to(self: Transcoder, device: str) -> Transcoder:
        """Move the weights to a device, and return the dictionary itself."""
        for name in ("threshold", "W_skip"):
            tensor = getattr(self, name)
            setattr(self, name, None if tensor is None else tensor.to(device))
        return super().to(device)

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return configuration and tensors, as they are stored."""
        config, tensors = super().state()
        own = {"threshold": self.threshold, "W_skip": self.W_skip}
        more = {name: tensor.detach().cpu().contiguous() for name, tensor in own.items() if tensor is not None}
        return {**config, "activation": self.activation}, {**tensors, **more}

    @classmethod
    def from_state(cls: type[T], config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> T:
        """Make a dictionary of what `state` returned."""
        made = super().from_state(config, tensors)
        assert isinstance(made, Transcoder)
        threshold = tensors["threshold"].float() if "threshold" in tensors else None
        full = Transcoder(made.W_enc, made.b_enc, made.W_dec, made.b_dec, made.k, config["activation"], threshold)
        full.W_skip = tensors["W_skip"].float() if "W_skip" in tensors else None
        full.modulation = made.modulation
        return full  # type: ignore[return-value]
