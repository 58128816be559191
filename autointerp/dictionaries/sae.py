"""Sparse autoencoders: a linear encoder, an activation that leaves few latents, a linear decoder.

The kinds differ in the activation alone. Selection and activations are in the normalised space that the dictionary
was fitted in; the normalisation is folded into the stored weights, so raw activations go in and come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch

from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.sparse import decode_sparse, select_positive, select_topk
from autointerp.errors import UsageError

T = TypeVar("T", bound="SAE")


@dataclass(frozen=True)
class StepModulation:
    """A scale and a shift of each raw dimension for each denoising step, before encoding.

    The idea of TIDE (arXiv 2503.07050): activations change their scale over the steps, and one dictionary for all of
    them needs to be told. `steps` are the 0-based steps that are known, `scale` and `shift` float32
    [len(steps), d_in].
    """

    steps: tuple[int, ...]
    scale: torch.Tensor
    shift: torch.Tensor

    def apply(self, acts: torch.Tensor, step: int | torch.Tensor | None) -> torch.Tensor:
        """Modulate raw activations [n, d_in] of one step, or of the steps int64 [n].

        Raises:
            UsageError: The step is not told, or is none of those it was fitted on.
        """
        if step is None:
            raise UsageError("this dictionary depends on the denoising step", "pass encode(acts, step=...)")
        if isinstance(step, int):
            row = self._row(step)
            return acts * self.scale[row] + self.shift[row]
        rows = torch.tensor([self._row(s) for s in step.unique().tolist()], device=acts.device)
        at = rows[step.unique(return_inverse=True)[1].to(acts.device)]
        return acts * self.scale[at] + self.shift[at]

    def _row(self, step: int) -> int:
        if step not in self.steps:
            known = ", ".join(map(str, self.steps))
            raise UsageError(f"this dictionary knows nothing of step {step}", f"it was fitted on the steps {known}")
        return self.steps.index(step)

    def to(self, device: str) -> StepModulation:
        """Move the tensors."""
        return StepModulation(self.steps, self.scale.to(device), self.shift.to(device))


class SAE:
    """A fitted sparse autoencoder, ready to encode raw activations.

    `W_enc` [d_in, num_latents], `b_enc` [num_latents], `W_dec` [num_latents, d_in], `b_dec` [d_in], all float32;
    pre-activations are `(acts - b_dec) @ W_enc + b_enc`. `k` is how many latents fire in a token, or about how many
    where the number varies; None where nobody said. `modulation` makes it depend on the denoising step.
    """

    kind: ClassVar[str]
    own_tensors: ClassVar[tuple[str, ...]] = ()
    """What a kind stores beyond the four."""

    def __init__(
        self,
        W_enc: torch.Tensor,
        b_enc: torch.Tensor,
        W_dec: torch.Tensor,
        b_dec: torch.Tensor,
        k: int | None,
        modulation: StepModulation | None = None,
    ) -> None:
        self.W_enc, self.b_enc, self.W_dec, self.b_dec = W_enc, b_enc, W_dec, b_dec
        self.k, self.modulation = k, modulation
        self.d_in, self.num_latents = W_enc.shape

    @property
    def directions(self) -> torch.Tensor:
        """Each latent's decoder row, float32 [num_latents, d_in]."""
        return self.W_dec

    def pre_acts(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> torch.Tensor:
        """Pre-activations, float32 [n, num_latents], of raw activations [n, d_in]."""
        acts = acts.float()
        if self.modulation is not None:
            acts = self.modulation.apply(acts, step)
        return torch.addmm(self.b_enc, acts - self.b_dec, self.W_enc)

    def select(self, pre_acts: torch.Tensor) -> SparseCode:
        """The kind's activation, on pre-activations [n, num_latents]."""
        raise NotImplementedError

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations [n, d_in]; `step` matters to a dictionary with a modulation alone."""
        return self.select(self.pre_acts(acts, step))

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations, float32 [n, d_in]."""
        return decode_sparse(code, self.W_dec) + self.b_dec

    def to(self: T, device: str) -> T:
        """Move the weights; returns the dictionary itself."""
        for name in ("W_enc", "b_enc", "W_dec", "b_dec", *self.own_tensors):
            setattr(self, name, getattr(self, name).to(device))
        if self.modulation is not None:
            self.modulation = self.modulation.to(device)
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """What is stored."""
        config: dict[str, Any] = {"kind": self.kind, "d_in": self.d_in, "num_latents": self.num_latents, "k": self.k}
        tensors = {name: getattr(self, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec", *self.own_tensors)}
        if self.modulation is not None:
            config["modulated_steps"] = list(self.modulation.steps)
            tensors |= {"step_scale": self.modulation.scale, "step_shift": self.modulation.shift}
        return config, {name: t.detach().cpu().contiguous() for name, t in tensors.items()}

    @classmethod
    def from_state(cls: type[T], config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> T:
        """The inverse of `state`."""
        steps: Sequence[int] | None = config.get("modulated_steps")
        modulation = (
            None
            if steps is None
            else StepModulation(tuple(steps), tensors["step_scale"].float(), tensors["step_shift"].float())
        )
        four = [tensors[name].float() for name in ("W_enc", "b_enc", "W_dec", "b_dec")]
        own: dict[str, Any] = {name: tensors[name].float() for name in cls.own_tensors}
        k = config.get("k")
        W_enc, b_enc, W_dec, b_dec = four
        return cls(W_enc, b_enc, W_dec, b_dec, None if k is None else int(k), modulation=modulation, **own)


class TopK(SAE):
    """The k largest pre-activations fire (Gao et al., arXiv 2406.04093)."""

    kind = "topk"
    k: int

    def select(self, pre_acts: torch.Tensor) -> SparseCode:
        """The k largest positive ones."""
        return select_topk(pre_acts, self.k)


class JumpReLU(SAE):
    """What lies above its latent's own `threshold` [num_latents] fires (Rajamanoharan et al., arXiv 2407.14435)."""

    kind = "jumprelu"
    own_tensors = ("threshold",)

    def __init__(
        self,
        W_enc: torch.Tensor,
        b_enc: torch.Tensor,
        W_dec: torch.Tensor,
        b_dec: torch.Tensor,
        k: int | None,
        threshold: torch.Tensor,
        modulation: StepModulation | None = None,
    ) -> None:
        super().__init__(W_enc, b_enc, W_dec, b_dec, k, modulation)
        self.threshold = threshold

    def select(self, pre_acts: torch.Tensor) -> SparseCode:
        """Those above the threshold, unchanged."""
        return select_positive(torch.where(pre_acts > self.threshold, pre_acts, torch.zeros_like(pre_acts)))


class BatchTopK(JumpReLU):
    """Fitted with the k largest a token *on average* over a batch; in use one scalar `threshold` (arXiv 2412.06410).

    So the code of an activation does not depend on what else is in its batch.
    """

    kind = "batchtopk"


class ReLU(SAE):
    """Every positive pre-activation fires: the standard autoencoder with an L1 penalty."""

    kind = "relu"

    def select(self, pre_acts: torch.Tensor) -> SparseCode:
        """All positive ones."""
        return select_positive(pre_acts)


class Gated(SAE):
    """A gate says which latents fire, a second set of biases how much (Rajamanoharan et al., arXiv 2404.16014).

    With `x = (acts - b_dec) @ W_enc`: a latent fires where `x + b_enc > 0`, by `relu(x * exp(r_mag) + b_mag)`;
    `r_mag` and `b_mag` are [num_latents].
    """

    kind = "gated"
    own_tensors = ("r_mag", "b_mag")

    def __init__(
        self,
        W_enc: torch.Tensor,
        b_enc: torch.Tensor,
        W_dec: torch.Tensor,
        b_dec: torch.Tensor,
        k: int | None,
        r_mag: torch.Tensor,
        b_mag: torch.Tensor,
        modulation: StepModulation | None = None,
    ) -> None:
        super().__init__(W_enc, b_enc, W_dec, b_dec, k, modulation)
        self.r_mag, self.b_mag = r_mag, b_mag

    def select(self, pre_acts: torch.Tensor) -> SparseCode:
        """Those whose gate is open, by their magnitude."""
        magnitude = ((pre_acts - self.b_enc) * self.r_mag.exp() + self.b_mag).relu()
        return select_positive(torch.where(pre_acts > 0, magnitude, torch.zeros_like(magnitude)))
