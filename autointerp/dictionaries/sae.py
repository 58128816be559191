"""Sparse autoencoders: a linear encoder, an activation function that leaves few latents, a linear decoder.

The kinds differ in the activation function alone. Latents are selected in the normalised space that the dictionary was
fitted in. The normalisation is folded into the stored weights, so raw activations go in and come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch

from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.sparse import decode_sparse, fullest_row, joined, select_positive, select_topk
from autointerp.errors import UsageError

T = TypeVar("T", bound="SAE")

ROWS = 4096
"""Activations whose pre-activations are held at a time: those of all tokens of a batch may be larger than the model."""
WIDTH = 64
"""Latents of a row that a code has room for at first, where their number varies and is not asked for."""


@dataclass(frozen=True)
class StepModulation:
    """A scale and a shift of each raw dimension for each denoising step, applied before encoding.

    This is the idea of TIDE (arXiv 2503.07050): activations change their scale over the steps, so a dictionary of
    several steps is given the step.

    Attributes:
        steps: 0-based denoising steps that the dictionary was fitted on.
        scale: Factors, float32 [len(steps), d_in].
        shift: Summands, float32 [len(steps), d_in].
    """

    steps: tuple[int, ...]
    scale: torch.Tensor
    shift: torch.Tensor

    def apply(self, acts: torch.Tensor, step: int | torch.Tensor | None) -> torch.Tensor:
        """Modulate raw activations [n, d_in] of one step, or of the steps int64 [n].

        Raises:
            UsageError: No step is given, or the dictionary was not fitted on it.
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
        """Return a copy on a device."""
        return StepModulation(self.steps, self.scale.to(device), self.shift.to(device))


class SAE:
    """A fitted sparse autoencoder, ready to encode raw activations.

    `W_enc` [d_in, num_latents], `b_enc` [num_latents], `W_dec` [num_latents, d_in], `b_dec` [d_in], all float32;
    pre-activations are `(acts - b_dec) @ W_enc + b_enc`. `k` is the number of latents that fire in a token, a mean
    where the number varies, or None where it is not known. A `modulation` makes the code depend on the denoising step.
    """

    kind: ClassVar[str]
    own_tensors: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors that a kind stores beyond these four."""

    def __init__(
        self,
        W_enc: torch.Tensor,
        b_enc: torch.Tensor,
        W_dec: torch.Tensor,
        b_dec: torch.Tensor,
        k: int | None,
    ) -> None:
        self.W_enc, self.b_enc, self.W_dec, self.b_dec = W_enc, b_enc, W_dec, b_dec
        self.k = k
        self.modulation: StepModulation | None = None
        self.d_in, self.num_latents = W_enc.shape

    @property
    def directions(self) -> torch.Tensor:
        """Each latent's decoder row, float32 [num_latents, d_in]."""
        return self.W_dec

    def pre_acts(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> torch.Tensor:
        """Return the pre-activations, float32 [n, num_latents], of raw activations [n, d_in]."""
        acts = acts.float()
        if self.modulation is not None:
            acts = self.modulation.apply(acts, step)
        return torch.addmm(self.b_enc, acts - self.b_dec, self.W_enc)

    def select(self, pre_acts: torch.Tensor) -> SparseCode:
        """Apply the kind's activation function to pre-activations [n, num_latents]."""
        raise NotImplementedError

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations [n, d_in], `ROWS` at a time. Only a dictionary with a modulation uses `step`."""
        return joined([self.select(pre_acts) for pre_acts in self._chunks(acts, step)])

    def _chunks(self, acts: torch.Tensor, step: int | torch.Tensor | None) -> Iterator[torch.Tensor]:
        """Yield the pre-activations of some rows after the other."""
        for start in range(0, max(len(acts), 1), ROWS):
            rows = slice(start, start + ROWS)
            yield self.pre_acts(acts[rows], step[rows] if isinstance(step, torch.Tensor) else step)

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations, float32 [n, d_in]."""
        return decode_sparse(code, self.W_dec) + self.b_dec

    def to(self: T, device: str) -> T:
        """Move the weights to a device, and return the dictionary itself."""
        for name in ("W_enc", "b_enc", "W_dec", "b_dec", *self.own_tensors):
            setattr(self, name, getattr(self, name).to(device))
        if self.modulation is not None:
            self.modulation = self.modulation.to(device)
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return configuration and tensors, as they are stored."""
        config: dict[str, Any] = {"kind": self.kind, "d_in": self.d_in, "num_latents": self.num_latents, "k": self.k}
        tensors = {name: getattr(self, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec", *self.own_tensors)}
        if self.modulation is not None:
            config["modulated_steps"] = list(self.modulation.steps)
            tensors |= {"step_scale": self.modulation.scale, "step_shift": self.modulation.shift}
        return config, {name: t.detach().cpu().contiguous() for name, t in tensors.items()}

    @classmethod
    def from_state(cls: type[T], config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> T:
        """Make a dictionary of what `state` returned."""
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
        made = cls(W_enc, b_enc, W_dec, b_dec, None if k is None else int(k), **own)
        made.modulation = modulation
        return made


class TopK(SAE):
    """An SAE whose k largest pre-activations fire (Gao et al., arXiv 2406.04093)."""

    kind = "topk"
    k: int

    def select(self, pre_acts: torch.Tensor) -> SparseCode:
        """Keep the k largest positive pre-activations."""
        return select_topk(pre_acts, self.k)


class VaryingSAE(SAE):
    """An SAE of which not always the same number of latents fire."""

    def __init__(
        self,
        W_enc: torch.Tensor,
        b_enc: torch.Tensor,
        W_dec: torch.Tensor,
        b_dec: torch.Tensor,
        k: int | None,
    ) -> None:
        super().__init__(W_enc, b_enc, W_dec, b_dec, k)
        self.width = min(WIDTH, self.num_latents)
        """Slots of a code of `encode_within`."""

    def dense(self, pre_acts: torch.Tensor) -> torch.Tensor:
        """Return the activation of every latent, 0 where it does not fire: both [n, num_latents]."""
        raise NotImplementedError

    def select(self, pre_acts: torch.Tensor) -> SparseCode:
        """Keep all latents that fire."""
        return select_positive(self.dense(pre_acts))

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations [n, d_in], `ROWS` at a time. Only a dictionary with a modulation uses `step`."""
        if acts.device.type == "cpu" or not len(acts):
            return super().encode(acts, step)
        code, fullest = self.encode_within(acts, step)
        width = max(int(fullest), 1)
        if width > self.width:
            self.width = min(width + width // 4, self.num_latents)
            code, _ = self.encode_within(acts, step)
        return SparseCode(code.latent_acts[:, :width], code.latent_indices[:, :width])

    def encode_within(
        self, acts: torch.Tensor, step: int | torch.Tensor | None = None
    ) -> tuple[SparseCode, torch.Tensor]:
        """Encode raw activations [n, d_in] without waiting for the device.

        Returns:
            A code of `width` slots, and the number of latents that fire in the fullest row, 0-dim. Where that is larger
            than `width`, the code is cut off, and `encode` gives the whole one.
        """
        parts, fullest = [], []
        for pre_acts in self._chunks(acts, step):
            dense = self.dense(pre_acts)
            parts.append(select_topk(dense, self.width))
            fullest.append(fullest_row(dense))
        return joined(parts), torch.stack(fullest).max()


class JumpReLU(VaryingSAE):
    """An SAE whose latent fires above its own `threshold` [num_latents] (Rajamanoharan et al., arXiv 2407.14435)."""

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
    ) -> None:
        super().__init__(W_enc, b_enc, W_dec, b_dec, k)
        self.threshold = threshold

    def dense(self, pre_acts: torch.Tensor) -> torch.Tensor:
        """Keep the pre-activations above their thresholds, unchanged."""
        return pre_acts.masked_fill(pre_acts <= self.threshold, 0)


class BatchTopK(JumpReLU):
    """An SAE fitted with k latents a token *on average* over a batch (arXiv 2412.06410).

    In use, one scalar `threshold` takes the batch's place, so that the code of an activation does not depend on the
    others in its batch.
    """

    kind = "batchtopk"


class ReLU(VaryingSAE):
    """An SAE whose every positive pre-activation fires: the standard one, fitted with an L1 penalty."""

    kind = "relu"

    def dense(self, pre_acts: torch.Tensor) -> torch.Tensor:
        """Keep all positive pre-activations."""
        return pre_acts.relu()


class Gated(VaryingSAE):
    """An SAE with a gate for whether a latent fires, and biases for how much (Rajamanoharan et al., arXiv 2404.16014).

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
    ) -> None:
        super().__init__(W_enc, b_enc, W_dec, b_dec, k)
        self.r_mag, self.b_mag = r_mag, b_mag

    def dense(self, pre_acts: torch.Tensor) -> torch.Tensor:
        """Keep the magnitudes of the latents whose gate is open."""
        magnitude = ((pre_acts - self.b_enc) * self.r_mag.exp() + self.b_mag).relu()
        return magnitude.masked_fill(pre_acts <= 0, 0)
