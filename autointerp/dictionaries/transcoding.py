"""The training of transcoders: that of a TopK autoencoder, whose input and target are the two halves of a pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from autointerp.dictionaries.fitting import FitConfig, Trainer
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.precision import wide_dtype
from autointerp.dictionaries.rounds import Round
from autointerp.dictionaries.sae import SAE, StepModulation
from autointerp.dictionaries.training import SAETrainer, geometric_median, sae_options
from autointerp.dictionaries.transcoders import Transcoder


@dataclass(frozen=True)
class PairNormalization(Normalization):
    """The normalisation of pairs [n, 2 d_in]: that of inputs in its own fields, and that of outputs in `target`."""

    target: Normalization

    @classmethod
    def of(cls, source: Normalization, target: Normalization) -> PairNormalization:
        """Join the normalisations of inputs and of outputs."""
        return cls(source.mean, source.into, source.back, target)

    def apply(self, acts: torch.Tensor) -> torch.Tensor:
        """Normalise pairs [n, 2 d_in]."""
        source, target = acts.chunk(2, dim=1)
        return torch.cat([super().apply(source), self.target.apply(target)], 1)

    def to(self, device: str | torch.device) -> PairNormalization:
        """Return a copy on a device."""
        return PairNormalization.of(super().to(device), self.target.to(device))

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors that a checkpoint keeps."""
        return {**super().state_dict(), "target": self.target.state_dict()}

    @property
    def source(self) -> Normalization:
        """The normalisation of inputs alone."""
        return Normalization(self.mean, self.into, self.back)


class TranscoderTrainer(SAETrainer):
    """A `Trainer` of transcoders on pairs of an MLP's input and output, [n, 2 d_in].

    Both halves are normalised by themselves. Latents are not revived at badly rebuilt pairs, as an error of outputs is
    no direction of inputs; the auxiliary loss brings dead ones back.
    """

    def __init__(self, config: FitConfig, d_in: int, device: str = "cpu") -> None:
        options = replace(sae_options(config.options), revive_after=0)
        super().__init__(replace(config, kind="topk"), d_in, device, options)

    @torch.no_grad()
    def _start(self, given: Round) -> None:
        """Measure both normalisations and the first bias on the first round."""
        source, target = given.acts.float().chunk(2, dim=1)
        measured = [Normalization.measure(half, self.normalize) for half in (source, target)]
        self.normalization = PairNormalization.of(*measured)
        self.raw_std = source.std(0).clamp_min(1e-8)
        sample = measured[1].apply(target[:: max(1, len(target) // 8192)])
        self.learned["b_dec"].copy_(geometric_median(sample))

    def _inputs(self, x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the inputs to encode and the outputs to rebuild, both normalised [n, d_in]."""
        source, target = x.chunk(2, dim=1)
        if not self.options.conditioned:
            return source, target
        pair = self._pair
        modulated = source * self.learned["step_scale"][rows] + self.raw_std * self.learned["step_shift"][rows]
        return pair.source.apply(modulated), pair.target.apply(target)

    @property
    def _pair(self) -> PairNormalization:
        assert isinstance(self.normalization, PairNormalization)
        return self.normalization

    def dictionary(self) -> SAE:
        """Return the transcoder so far, with both normalisations folded in."""
        if self.normalization is None:
            raise ValueError("nothing was fitted yet")
        made, pair = self._encoder(), self._pair
        W_enc, b_enc, _, shift = pair.source.fold(made.W_enc, made.b_enc, made.W_dec, made.b_dec)
        _, _, W_dec, b_dec = pair.target.fold(made.W_enc, made.b_enc, made.W_dec, made.b_dec)
        # What an autoencoder subtracts from its input is a part of the bias here.
        wide = wide_dtype(b_enc.device)
        b_enc = (b_enc.to(wide) - shift.to(wide) @ W_enc.to(wide)).float()
        W_enc, b_enc, W_dec, b_dec = (t.contiguous() for t in (W_enc, b_enc, W_dec, b_dec))
        folded = Transcoder(W_enc, b_enc, W_dec, b_dec, self.k)
        if self.options.conditioned:
            values = self.averaged or self.learned
            moved = self.raw_std * values["step_shift"].detach()
            folded.modulation = StepModulation(self.denoising_steps, values["step_scale"].detach().clone(), moved)
        return folded

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        super().load_state_dict({**state, "normalization": None})
        if (kept := state["normalization"]) is not None:
            own = {name: value for name, value in kept.items() if name != "target"}
            pair = PairNormalization(**own, target=Normalization(**kept["target"]))
            self.normalization = pair.to(self.silent_for.device)


def fit_transcoder(config: FitConfig, d_in: int, device: str) -> Trainer:
    """Begin to train a transcoder of an MLP whose input and output have `d_in` dimensions."""
    return TranscoderTrainer(config, d_in, device)
