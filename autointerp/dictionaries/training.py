"""The training of sparse autoencoders, a round of activations at a time.

All kinds share one loop. They differ in how the latents that fire are chosen while training, and in the tensors that
are learned beyond encoder, decoder and their biases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from autointerp.dictionaries.fitting import FitConfig, Trainer
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.precision import wide_dtype
from autointerp.dictionaries.rounds import Round, shuffled
from autointerp.dictionaries.sae import SAE, BatchTopK, JumpReLU, StepModulation, TopK
from autointerp.dictionaries.sparse import decode_sparse, fired_latents, select_topk
from autointerp.errors import AutointerpError


@dataclass(frozen=True)
class SAEOptions:
    """Options of a training.

    Attributes:
        passes: Number of times that each activation is trained on.
        batch: Activations of an optimizer step.
        rate: Learning rate of Adam.
        warm: Share of the steps in which the rate rises from 0.
        decay: Share of the steps, at the end, in which the rate falls to 0.
        aux_k: Dead latents that rebuild the error of the live ones, in the auxiliary loss.
        aux_coefficient: Weight of the auxiliary loss.
        dead_after: A latent is dead once it has not fired for so many activations.
        revive_after: At the end of a round, latents that have not fired for so many activations start again at the
            worst rebuilt activations; 0 for never.
        ema: Decay of a running mean of the weights, which is then stored; 0 stores the last weights.
        conditioned: Whether a scale and a shift are learned for each denoising step.
        sparsity: Weight of the JumpReLU's pull towards k latents.
        bandwidth: Width in which the JumpReLU's thresholds get a gradient, in standard deviations of the
            pre-activations.
    """

    passes: int = 4
    batch: int = 1024
    rate: float = 1e-3
    warm: float = 0.03
    decay: float = 0.2
    aux_k: int = 128
    aux_coefficient: float = 1 / 32
    dead_after: int = 100_000
    revive_after: int = 400_000
    ema: float = 0.0
    conditioned: bool = False
    sparsity: float = 0.3
    bandwidth: float = 0.25


def sae_options(settings: Mapping[str, Any]) -> SAEOptions:
    """Return options of named settings, in a workspace's words or those of `SAEOptions`; others have their defaults."""
    named = {"conditioned" if key == "per_step" else key: value for key, value in settings.items()}
    named.pop("normalize", None)
    return SAEOptions(**named)


def fit_sae(config: FitConfig, d_in: int, device: str) -> Trainer:
    """Begin to train a sparse autoencoder of any kind."""
    return SAETrainer(config, d_in, device)


def geometric_median(points: torch.Tensor, iterations: int = 50) -> torch.Tensor:
    """Return the point [d] of least summed distance to `points` [n, d], by Weiszfeld's iteration."""
    guess = points.mean(0)
    for _ in range(iterations):
        weight = 1 / (points - guess).norm(dim=1).clamp_min(1e-6)
        guess = (weight[:, None] * points).sum(0) / weight.sum()
    return guess


class _Threshold(torch.autograd.Function):
    """A step function: 1 where `pre` is above `threshold`, with the straight-through gradient of arXiv 2407.14435.

    A rectangle of width `bandwidth` around the threshold replaces the derivative. `pre` gets no gradient.
    """

    @staticmethod
    def forward(ctx: Any, pre: torch.Tensor, threshold: torch.Tensor, bandwidth: float) -> torch.Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor, None]:
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < ctx.bandwidth / 2).to(pre.dtype)
        return None, -(near * gradients[0]).sum(0) / ctx.bandwidth, None


class SAETrainer:
    """A `Trainer` of sparse autoencoders.

    The training follows Gao et al. (arXiv 2406.04093): decoder rows have unit norm, with the parallel part of their
    gradient removed; encoder and decoder are tied at the start; the first bias is the geometric median; dead latents
    have an auxiliary loss. BatchTopK follows arXiv 2412.06410. JumpReLU follows arXiv 2407.14435, with a quadratic pull
    to the wanted L0. Dead latents are revived as in Bricken et al. 2023.

    On an accelerator no step waits for the device: what is to be known of a step is read at the end of its round.
    """

    rounds_wanted: int | None = None

    def __init__(self, config: FitConfig, d_in: int, device: str = "cpu", options: SAEOptions | None = None) -> None:
        self.kind, self.k, self.seed, self.normalize = config.kind, config.k, config.seed, config.normalize
        self.denoising_steps = tuple(sorted(config.steps))
        self.options = options = options or sae_options(config.options)
        num_latents = config.num_latents
        self.total = max(1, config.tokens * options.passes // options.batch)
        """Optimizer steps in all."""
        draw = torch.Generator().manual_seed(config.seed)
        directions = F.normalize(torch.randn(num_latents, d_in, generator=draw), dim=1).to(device)
        learned = {
            "W_enc": directions.T.clone(),
            "b_enc": torch.zeros(num_latents, device=device),
            "W_dec": directions,
            "b_dec": torch.zeros(d_in, device=device),
        }
        if config.kind == "jumprelu":
            learned["log_threshold"] = torch.zeros(num_latents, device=device)
        if options.conditioned:
            learned["step_scale"] = torch.ones(len(config.steps), d_in, device=device)
            learned["step_shift"] = torch.zeros(len(config.steps), d_in, device=device)
        self.learned = {name: value.contiguous().requires_grad_() for name, value in learned.items()}
        self.optimizer = torch.optim.Adam(self.learned.values(), lr=options.rate)
        self.averaged: dict[str, torch.Tensor] | None = None
        self.silent_for = torch.zeros(num_latents, dtype=torch.int64, device=device)
        self.normalization: Normalization | None = None
        self.raw_std = torch.ones(d_in, device=device)
        """Standard deviation of each raw dimension, which is the unit of the learned shifts."""
        self.threshold = torch.zeros((), dtype=wide_dtype(torch.device(device)), device=device)
        """Running mean of the least activation that BatchTopK keeps, 0-dim."""
        self.scale = 1.0
        """Standard deviation of the first pre-activations, which is the unit of the JumpReLU's bandwidth."""
        self.done = 0
        self.rounds = 0
        self.on_cpu = torch.device(device).type == "cpu"
        """Whether it takes no waiting to read a number."""
        self._near = torch.zeros(0, dtype=torch.int64, device=device)
        """The latents that may be dead before the round is over, by their index."""
        self._silence = 0
        """At least as many activations as any latent has not fired for."""

    @property
    def dead(self) -> int:
        """Number of latents that have not fired for `dead_after` activations."""
        return int((self.silent_for >= self.options.dead_after).sum())

    def train_round(self, given: Round) -> str:
        """Train `passes` times over a round, whose activations are on the trainer's device.

        Raises:
            AutointerpError: The loss is not finite.
        """
        if self.normalization is None:
            self._start(given)
        assert self.normalization is not None
        # A modulation works on raw activations. Otherwise they are normalised once, for all passes.
        whole = given.acts.float() if self.options.conditioned else self.normalization.apply(given.acts)
        rows = torch.searchsorted(torch.tensor(self.denoising_steps), given.steps.contiguous()).to(whole.device)
        orders = torch.stack(shuffled(len(given), self.seed, self.rounds, self.options.passes)).to(whole.device)
        self._look_ahead(orders.numel())
        batches = [batch for order in orders for batch in order.split(self.options.batch)]
        losses = [self._train_batch(whole[batch], rows[batch]) for batch in batches]
        error = self._mean(losses)
        self.rounds += 1
        if self.options.revive_after and self.done < 0.7 * self.total:
            self._revive(whole, rows)
        return f"error {error:.3f}, {self.dead} dead"

    def _mean(self, losses: list[torch.Tensor]) -> float:
        """Return the mean of the losses of the last steps, and read them all at once.

        Raises:
            AutointerpError: One of them is not finite.
        """
        values = torch.stack(losses).tolist()
        wrong = [number for number, value in enumerate(values) if not math.isfinite(value)]
        if wrong:
            step = self.done - len(values) + wrong[0] + 1
            raise AutointerpError(
                f"the fit's loss is not finite at step {step}", "fit with --dtype float32, or a smaller -k"
            )
        return float(sum(values)) / len(values)

    def _look_ahead(self, coming: int) -> None:
        """Find the latents that may be dead before so many more activations were trained on.

        Their number is that of an auxiliary loss's candidates, which is known without waiting for the device.
        """
        self._silence = int(self.silent_for.max())
        self._near = (self.silent_for >= self.options.dead_after - coming).nonzero().flatten()

    @torch.no_grad()
    def _start(self, given: Round) -> None:
        """Measure normalisation, first bias and first thresholds on the first round."""
        acts = given.acts.float()
        self.normalization = normal = Normalization.measure(acts, self.normalize)
        self.raw_std = acts.std(0).clamp_min(1e-8)
        sample = normal.apply(acts[:: max(1, len(acts) // 8192)])
        self.learned["b_dec"].copy_(geometric_median(sample))
        if self.kind == "jumprelu":
            pre_acts = (sample - self.learned["b_dec"]) @ self.learned["W_enc"]
            self.scale = float(pre_acts.std())
            # With this threshold about k latents fire at the start; training then moves each latent's own.
            ranked = pre_acts.topk(self.k + 1, dim=1).values[:, -1]
            self.learned["log_threshold"].fill_(math.log(max(float(ranked.mean()), 1e-3 * self.scale)))

    def _inputs(self, x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the activations to encode and those to rebuild, both normalised [n, d_in]."""
        if not self.options.conditioned:
            return x, x
        assert self.normalization is not None
        modulated = x * self.learned["step_scale"][rows] + self.raw_std * self.learned["step_shift"][rows]
        return self.normalization.apply(modulated), self.normalization.apply(x)

    def _acts(self, pre_acts: torch.Tensor) -> torch.Tensor:
        """Return dense activations [n, num_latents], for the kinds whose number of firing latents varies."""
        if self.kind == "batchtopk":
            acts = pre_acts.relu()
            count = min(self.k * len(acts), acts.numel())
            least = acts.detach().flatten().topk(count).values[-1].clamp_min(1e-12)
            new = least.to(self.threshold.dtype)
            self.threshold = new if self.done == 0 else 0.99 * self.threshold + 0.01 * new
            return torch.where(acts >= least, acts, torch.zeros_like(acts))
        threshold = self.learned["log_threshold"].exp()
        fires: torch.Tensor = _Threshold.apply(pre_acts, threshold, self.options.bandwidth * self.scale)
        return pre_acts * fires

    def _train_batch(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Train on a batch and return its loss, 0-dim. Nothing here may wait for the device."""
        options, learned = self.options, self.learned
        share = self.done / self.total
        factor = min(1.0, share / options.warm if options.warm else 1.0)
        factor *= min(1.0, max(1 - share, 0.0) / options.decay if options.decay else 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = options.rate * max(factor, 1e-3)
        source, target = self._inputs(x, rows)
        pre_acts = torch.addmm(learned["b_enc"], source - learned["b_dec"], learned["W_enc"])
        if self.kind == "topk":
            code = select_topk(pre_acts, self.k)
            rebuilt = decode_sparse(code, learned["W_dec"])
            fired = fired_latents(code, len(self.silent_for))
        else:
            acts = self._acts(pre_acts)
            rebuilt = acts @ learned["W_dec"]
            fired = (acts.detach() > 0).any(0)
        error = target - learned["b_dec"] - rebuilt
        loss = error.square().sum(1).mean() / _spread(target)
        total = loss + self._auxiliary(pre_acts, error)
        if self.kind == "jumprelu":
            threshold = learned["log_threshold"].exp()
            firing = _Threshold.apply(pre_acts, threshold, options.bandwidth * self.scale).sum(1).mean()
            # The pull towards k is weak at first, so that latents find their concepts before the number is fixed.
            total = total + options.sparsity * min(1.0, 5 * share) * (firing / self.k - 1).square()
        self.optimizer.zero_grad()
        total.backward()
        with torch.no_grad():
            gradient = learned["W_dec"].grad
            assert gradient is not None
            gradient -= (gradient * learned["W_dec"]).sum(1, keepdim=True) * learned["W_dec"]
            torch.nn.utils.clip_grad_norm_(list(learned.values()), 1.0)
            self.optimizer.step()
            learned["W_dec"] /= learned["W_dec"].norm(dim=1, keepdim=True)
            self.silent_for = (self.silent_for + len(x)).masked_fill_(fired, 0)
            self._silence += len(x)
            self._average()
        self.done += 1
        return loss.detach()

    def _auxiliary(self, pre_acts: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
        """Return the auxiliary loss: dead latents rebuild the error of the live ones."""
        options = self.options
        if self._silence < options.dead_after or not options.aux_coefficient:
            return pre_acts.new_zeros(())
        # To ask an accelerator which latents are dead would be to wait for it. All that may be dead take their place.
        near = (self.silent_for >= options.dead_after).nonzero().flatten() if self.on_cpu else self._near
        if not len(near):
            return pre_acts.new_zeros(())
        dead = self.silent_for[near] >= options.dead_after
        code = select_topk(pre_acts[:, near].masked_fill(~dead, -torch.inf), min(options.aux_k, len(near)))
        left = error.detach()
        missed = (left - decode_sparse(code, self.learned["W_dec"][near])).square().sum(1).mean() / _spread(left)
        return options.aux_coefficient * missed.nan_to_num(0.0) * dead.any()

    @torch.no_grad()
    def _average(self) -> None:
        if not self.options.ema:
            return
        if self.averaged is None:
            self.averaged = {name: value.detach().clone() for name, value in self.learned.items()}
        # Ramp up the decay, so that early averages are not dominated by the random initialisation.
        decay = min(self.options.ema, (1 + self.done) / (10 + self.done))
        for name, value in self.learned.items():
            self.averaged[name].lerp_(value.detach(), 1 - decay)

    @torch.no_grad()
    def _revive(self, whole: torch.Tensor, rows: torch.Tensor) -> None:
        """Point long dead latents at badly rebuilt activations, drawn by squared error."""
        dead = (self.silent_for >= self.options.revive_after).nonzero().flatten()
        if not len(dead):
            return
        learned = self.learned
        draw = torch.Generator().manual_seed((self.seed << 20) + self.rounds)
        seen = torch.randperm(len(whole), generator=draw)[:8192]
        seen = seen.to(whole.device)
        source, target = self._inputs(whole[seen], rows[seen])
        dictionary = self._encoder()
        code = dictionary.select(torch.addmm(learned["b_enc"], source - learned["b_dec"], learned["W_enc"]))
        error = target - learned["b_dec"] - decode_sparse(code, learned["W_dec"])
        weight = error.square().sum(1).cpu().double()
        count = min(len(dead), int((weight > 0).sum()))
        if not count:
            return
        dead = dead[:count]
        chosen = torch.multinomial(weight, count, generator=draw).to(error.device)
        direction = F.normalize(error[chosen], dim=1)
        live = torch.ones(len(self.silent_for), dtype=torch.bool, device=dead.device)
        live[dead] = False
        size = learned["W_enc"][:, live].norm(dim=0).mean() if live.any() else torch.tensor(1.0)
        learned["W_dec"][dead] = direction
        learned["W_enc"][:, dead] = (direction * size).T
        learned["b_enc"][dead] = 0
        if "log_threshold" in learned and live.any():
            learned["log_threshold"][dead] = learned["log_threshold"][live].median()
        for name, along in (("W_dec", 0), ("W_enc", 1), ("b_enc", 0), ("log_threshold", 0)):
            state = self.optimizer.state.get(learned[name]) if name in learned else None
            for moment in (state["exp_avg"], state["exp_avg_sq"]) if state else ():
                moment.index_fill_(along, dead, 0)
        self.silent_for[dead] = 0

    def _encoder(self) -> SAE:
        """Return the present weights in normalised space, as a dictionary of the stored kind."""
        values = {name: value.detach().clone() for name, value in (self.averaged or self.learned).items()}
        values["W_dec"] /= values["W_dec"].norm(dim=1, keepdim=True)
        W_enc, b_enc, W_dec, b_dec = (values[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
        if self.kind == "topk":
            return TopK(W_enc, b_enc, W_dec, b_dec, self.k)
        if self.kind == "batchtopk":
            return BatchTopK(W_enc, b_enc, W_dec, b_dec, self.k, self.threshold.to(b_enc))
        return JumpReLU(W_enc, b_enc, W_dec, b_dec, self.k, values["log_threshold"].exp())

    def dictionary(self) -> SAE:
        """Return the dictionary so far, with the normalisation folded in."""
        if self.normalization is None:
            raise ValueError("nothing was fitted yet")
        made = self._encoder()
        folded = self.normalization.fold(made.W_enc, made.b_enc, made.W_dec, made.b_dec)
        made.W_enc, made.b_enc, made.W_dec, made.b_dec = (t.contiguous() for t in folded)
        if self.options.conditioned:
            values = self.averaged or self.learned
            shift = self.raw_std * values["step_shift"].detach()
            made.modulation = StepModulation(self.denoising_steps, values["step_scale"].detach().clone(), shift)
        return made

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "learned": {name: value.detach() for name, value in self.learned.items()},
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
            "silent_for": self.silent_for,
            "normalization": None if self.normalization is None else self.normalization.state_dict(),
            "raw_std": self.raw_std,
            "threshold": float(self.threshold),
            "scale": self.scale,
            "done": self.done,
            "rounds": self.rounds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        device = self.silent_for.device
        with torch.no_grad():
            for name, value in self.learned.items():
                value.copy_(state["learned"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        averaged, norm = state["averaged"], state["normalization"]
        self.averaged = None if averaged is None else {name: value.to(device) for name, value in averaged.items()}
        self.normalization = None if norm is None else Normalization(**norm).to(device)
        self.silent_for, self.raw_std = state["silent_for"].to(device), state["raw_std"].to(device)
        self.threshold, self.scale = torch.full_like(self.threshold, state["threshold"]), state["scale"]
        self.done, self.rounds = state["done"], state["rounds"]


def _spread(x: torch.Tensor) -> torch.Tensor:
    """Return the mean squared distance of rows [n, d] from their mean."""
    return (x - x.mean(0)).square().sum(1).mean().clamp_min(1e-12)
