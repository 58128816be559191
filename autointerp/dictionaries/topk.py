"""The TopK sparse autoencoder: the k largest pre-activations fire, the rest are zero.

Gao et al., "Scaling and evaluating sparse autoencoders" (arXiv 2406.04093). Selection and activations are in the
normalised space that the dictionary was fitted in; the normalisation is folded into the stored weights, so raw
activations go in and raw activations come out.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from autointerp.dictionaries.protocol import SparseCode


def decode_sparse(code: SparseCode, W_dec: torch.Tensor) -> torch.Tensor:
    """Sum of the firing rows: `code` [n, k] and `W_dec` [num_latents, d_in] to [n, d_in]; never a dense code."""
    return F.embedding_bag(code.latent_indices, W_dec, per_sample_weights=code.latent_acts, mode="sum")


def select_topk(pre_acts: torch.Tensor, k: int) -> SparseCode:
    """The k largest positive entries of `pre_acts` [n, num_latents]; slots without one hold act 0 and index 0."""
    acts, indices = pre_acts.topk(k, dim=-1)
    acts = acts.relu()
    return SparseCode(acts, torch.where(acts > 0, indices, torch.zeros_like(indices)))


class TopK:
    """A fitted TopK dictionary, ready to encode raw activations.

    `W_enc` [d_in, num_latents], `b_enc` [num_latents], `W_dec` [num_latents, d_in], `b_dec` [d_in], all float32;
    pre-activations are `(acts - b_dec) @ W_enc + b_enc`.
    """

    kind = "topk"

    def __init__(
        self, W_enc: torch.Tensor, b_enc: torch.Tensor, W_dec: torch.Tensor, b_dec: torch.Tensor, k: int
    ) -> None:
        self.W_enc, self.b_enc, self.W_dec, self.b_dec, self.k = W_enc, b_enc, W_dec, b_dec, k
        self.d_in, self.num_latents = W_enc.shape

    @property
    def directions(self) -> torch.Tensor:
        """Each latent's decoder row, float32 [num_latents, d_in]."""
        return self.W_dec

    def encode(self, acts: torch.Tensor) -> SparseCode:
        """Encode raw activations [n, d_in]."""
        return select_topk((acts.float() - self.b_dec) @ self.W_enc + self.b_enc, self.k)

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations, float32 [n, d_in]."""
        return decode_sparse(code, self.W_dec) + self.b_dec

    def to(self, device: str) -> TopK:
        """Move the weights."""
        self.W_enc, self.b_enc = self.W_enc.to(device), self.b_enc.to(device)
        self.W_dec, self.b_dec = self.W_dec.to(device), self.b_dec.to(device)
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """What is stored."""
        config = {"kind": self.kind, "d_in": self.d_in, "num_latents": self.num_latents, "k": self.k}
        tensors = {"W_enc": self.W_enc, "b_enc": self.b_enc, "W_dec": self.W_dec, "b_dec": self.b_dec}
        return config, {name: t.detach().cpu().contiguous() for name, t in tensors.items()}

    @classmethod
    def from_state(cls, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> TopK:
        """The inverse of `state`."""
        W_enc, b_enc, W_dec, b_dec = (tensors[name].float() for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
        return cls(W_enc, b_enc, W_dec, b_dec, int(config["k"]))
