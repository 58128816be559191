"""Training sparse autoencoders, a round of activations at a time.

One loop for all kinds; they differ in how the latents that fire are chosen while training, and in what is learned
beyond the four tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.rounds import Round, shuffled
from autointerp.dictionaries.sae import SAE, BatchTopK, JumpReLU, StepModulation, TopK
from autointerp.dictionaries.sparse import decode_sparse, select_topk
from autointerp.errors import AutointerpError


@dataclass(frozen=True)
class SAEOptions:
    """How a sparse autoencoder is trained.

    `passes` is how often each activation is trained on. A latent that has not fired for `dead_after` activations is
    dead: `aux_k` of them rebuild what the live ones leave over (weight `aux_coefficient`), and at the end of a round
    those dead for `revive_after` start again at what is rebuilt worst (0: never). `ema` is the decay of a running
    mean of the weights, which is then what is stored (0: the last weights). `conditioned` learns a scale and a shift
    for each denoising step. `sparsity` weighs the JumpReLU's pull towards k latents, `bandwidth` is the width in
    which its thresholds get a gradient, in standard deviations of the pre-activations.
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


def geometric_median(points: torch.Tensor, iterations: int = 50) -> torch.Tensor:
    """The point [d] with the least summed distance to `points` [n, d], by Weiszfeld's iteration."""
    guess = points.mean(0)
    for _ in range(iterations):
        weight = 1 / (points - guess).norm(dim=1).clamp_min(1e-6)
        guess = (weight[:, None] * points).sum(0) / weight.sum()
    return guess


class _Step(torch.autograd.Function):
    """1 where `pre` lies above `threshold`, with the straight-through gradient of arXiv 2407.14435.

    A rectangle of width `bandwidth` around the threshold stands for the derivative; `pre` itself gets none.
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
    """The state of a fit.

    After Gao et al. (arXiv 2406.04093): decoder rows of unit norm with the parallel gradient removed, tied at the
    start, the geometric median as the first bias, an auxiliary loss that dead latents answer. BatchTopK after
    arXiv 2412.06410, JumpReLU after arXiv 2407.14435 with a quadratic pull to the wanted L0. Dead latents are revived
    as in Bricken et al. 2023.
    """

    rounds_wanted: int | None = None

    def __init__(
        self,
        kind: str,
        d_in: int,
        num_latents: int,
        k: int,
        tokens: int,
        steps: tuple[int, ...] = (0,),
        normalize: str = "standard",
        seed: int = 0,
        options: SAEOptions | None = None,
        device: str = "cpu",
    ) -> None:
        self.kind, self.k, self.seed, self.normalize = kind, k, seed, normalize
        self.denoising_steps = tuple(sorted(steps))
        self.options = options = options or SAEOptions()
        self.total = max(1, tokens * options.passes // options.batch)
        """Optimizer steps in all."""
        draw = torch.Generator().manual_seed(seed)
        directions = F.normalize(torch.randn(num_latents, d_in, generator=draw), dim=1).to(device)
        learned = {
            "W_enc": directions.T.clone(),
            "b_enc": torch.zeros(num_latents, device=device),
            "W_dec": directions,
            "b_dec": torch.zeros(d_in, device=device),
        }
        if kind == "jumprelu":
            learned["log_threshold"] = torch.zeros(num_latents, device=device)
        if options.conditioned:
            learned["step_scale"] = torch.ones(len(steps), d_in, device=device)
            learned["step_shift"] = torch.zeros(len(steps), d_in, device=device)
        self.learned = {name: value.contiguous().requires_grad_() for name, value in learned.items()}
        self.optimizer = torch.optim.Adam(self.learned.values(), lr=options.rate)
        self.averaged: dict[str, torch.Tensor] | None = None
        self.silent_for = torch.zeros(num_latents, dtype=torch.int64, device=device)
        self.normalization: Normalization | None = None
        self.raw_std = torch.ones(d_in, device=device)
        """Spread of the raw dimensions: the unit of the shifts of `conditioned`."""
        self.threshold = 0.0
        """Running mean of the least activation that BatchTopK lets through."""
        self.scale = 1.0
        """Standard deviation of the first pre-activations: the unit of the JumpReLU's bandwidth."""
        self.done = 0
        self.rounds = 0

    @property
    def dead(self) -> int:
        """Latents that have not fired for `dead_after` activations."""
        return int((self.silent_for >= self.options.dead_after).sum())

    def train_round(self, given: Round) -> str:
        """Train `passes` times over a round, whose activations lie on the trainer's device.

        Raises:
            AutointerpError: The loss is not finite.
        """
        if self.normalization is None:
            self._start(given)
        assert self.normalization is not None
        # Raw where the step modulates them first, normalised otherwise, so that a pass does no work twice.
        whole = given.acts.float() if self.options.conditioned else self.normalization.apply(given.acts)
        rows = torch.searchsorted(torch.tensor(self.denoising_steps), given.steps.contiguous())
        losses = []
        for order in shuffled(len(given), self.seed, self.rounds, self.options.passes):
            for batch in order.split(self.options.batch):
                losses.append(self._train_batch(whole[batch.to(whole.device)], rows[batch]))
        self.rounds += 1
        if self.options.revive_after and self.done < 0.7 * self.total:
            self._revive(whole, rows)
        return f"error {sum(losses) / max(len(losses), 1):.3f}, {self.dead} dead"

    @torch.no_grad()
    def _start(self, given: Round) -> None:
        """Measure what the first round tells: normalisation, first bias, first thresholds."""
        acts = given.acts.float()
        self.normalization = normal = Normalization.measure(acts, self.normalize)
        self.raw_std = acts.std(0).clamp_min(1e-8)
        sample = normal.apply(acts[:: max(1, len(acts) // 8192)])
        self.learned["b_dec"].copy_(geometric_median(sample))
        if self.kind == "jumprelu":
            pre_acts = (sample - self.learned["b_dec"]) @ self.learned["W_enc"]
            self.scale = float(pre_acts.std())
            # Where k latents fire at the start: from there the thresholds learn who deserves it.
            ranked = pre_acts.topk(self.k + 1, dim=1).values[:, -1]
            self.learned["log_threshold"].fill_(math.log(max(float(ranked.mean()), 1e-3 * self.scale)))

    def _inputs(self, x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(what is encoded, what is to be rebuilt), both normalised [n, d_in]."""
        if not self.options.conditioned:
            return x, x
        assert self.normalization is not None
        rows = rows.to(x.device)
        modulated = x * self.learned["step_scale"][rows] + self.raw_std * self.learned["step_shift"][rows]
        return self.normalization.apply(modulated), self.normalization.apply(x)

    def _acts(self, pre_acts: torch.Tensor) -> torch.Tensor:
        """Dense activations [n, num_latents], for the kinds whose number of firing latents varies."""
        if self.kind == "batchtopk":
            acts = pre_acts.relu()
            count = min(self.k * len(acts), acts.numel())
            least = acts.detach().flatten().topk(count).values[-1].clamp_min(1e-12)
            self.threshold = float(least) if self.done == 0 else 0.99 * self.threshold + 0.01 * float(least)
            return torch.where(acts >= least, acts, torch.zeros_like(acts))
        threshold = self.learned["log_threshold"].exp()
        fires: torch.Tensor = _Step.apply(pre_acts, threshold, self.options.bandwidth * self.scale)
        return pre_acts * fires

    def _train_batch(self, x: torch.Tensor, rows: torch.Tensor) -> float:
        options, learned = self.options, self.learned
        share = self.done / self.total
        factor = min(1.0, share / options.warm if options.warm else 1.0)
        factor *= min(1.0, max(1 - share, 0.0) / options.decay if options.decay else 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = options.rate * max(factor, 1e-3)
        source, target = self._inputs(x, rows)
        pre_acts = torch.addmm(learned["b_enc"], source - learned["b_dec"], learned["W_enc"])
        fired = torch.zeros_like(self.silent_for, dtype=torch.bool)
        if self.kind == "topk":
            code = select_topk(pre_acts, self.k)
            rebuilt = decode_sparse(code, learned["W_dec"])
            fired[code.latent_indices[code.latent_acts > 0]] = True
        else:
            acts = self._acts(pre_acts)
            rebuilt = acts @ learned["W_dec"]
            fired |= (acts.detach() > 0).any(0)
        error = target - learned["b_dec"] - rebuilt
        loss = error.square().sum(1).mean() / _spread(target)
        total = loss + self._auxiliary(pre_acts, error)
        if self.kind == "jumprelu":
            threshold = learned["log_threshold"].exp()
            firing = _Step.apply(pre_acts, threshold, options.bandwidth * self.scale).sum(1).mean()
            # Towards k from both sides, weak at first so that the latents find what they are for.
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
            self.silent_for = torch.where(fired, 0, self.silent_for + len(x))
            self._average()
        self.done += 1
        value = float(loss.detach())
        if not math.isfinite(value):
            raise AutointerpError(
                f"the fit's loss is not finite at step {self.done}", "fit with --dtype float32, or a smaller -k"
            )
        return value

    def _auxiliary(self, pre_acts: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
        """Dead latents rebuild what the live ones leave over."""
        dead = (self.silent_for >= self.options.dead_after).nonzero().flatten()
        if not len(dead) or not self.options.aux_coefficient:
            return pre_acts.new_zeros(())
        code = select_topk(pre_acts[:, dead], min(self.options.aux_k, len(dead)))
        left = error.detach()
        missed = (left - decode_sparse(code, self.learned["W_dec"][dead])).square().sum(1).mean() / _spread(left)
        return self.options.aux_coefficient * missed.nan_to_num(0.0)

    @torch.no_grad()
    def _average(self) -> None:
        if not self.options.ema:
            return
        if self.averaged is None:
            self.averaged = {name: value.detach().clone() for name, value in self.learned.items()}
        # A young mean forgets faster, or it would be of the random start.
        decay = min(self.options.ema, (1 + self.done) / (10 + self.done))
        for name, value in self.learned.items():
            self.averaged[name].lerp_(value.detach(), 1 - decay)

    @torch.no_grad()
    def _revive(self, whole: torch.Tensor, rows: torch.Tensor) -> None:
        """Point latents that are long dead at what is rebuilt worst, drawn by squared error."""
        dead = (self.silent_for >= self.options.revive_after).nonzero().flatten()
        if not len(dead):
            return
        learned = self.learned
        draw = torch.Generator().manual_seed((self.seed << 20) + self.rounds)
        seen = torch.randperm(len(whole), generator=draw)[:8192]
        source, target = self._inputs(whole[seen.to(whole.device)], rows[seen])
        dictionary = self._encoder()
        code = dictionary.select(torch.addmm(learned["b_enc"], source - learned["b_dec"], learned["W_enc"]))
        error = target - learned["b_dec"] - decode_sparse(code, learned["W_dec"])
        weight = error.square().sum(1).double().cpu()
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
        """The present weights in normalised space, as the kind that is stored."""
        values = {name: value.detach().clone() for name, value in (self.averaged or self.learned).items()}
        values["W_dec"] /= values["W_dec"].norm(dim=1, keepdim=True)
        W_enc, b_enc, W_dec, b_dec = (values[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
        if self.kind == "topk":
            return TopK(W_enc, b_enc, W_dec, b_dec, self.k)
        if self.kind == "batchtopk":
            return BatchTopK(W_enc, b_enc, W_dec, b_dec, self.k, b_enc.new_tensor(self.threshold))
        return JumpReLU(W_enc, b_enc, W_dec, b_dec, self.k, values["log_threshold"].exp())

    def dictionary(self) -> SAE:
        """What was fitted so far, with the normalisation folded in."""
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
        """What a checkpoint keeps."""
        return {
            "learned": {name: value.detach() for name, value in self.learned.items()},
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
            "silent_for": self.silent_for,
            "normalization": None if self.normalization is None else self.normalization.state_dict(),
            "raw_std": self.raw_std,
            "threshold": self.threshold,
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
        self.threshold, self.scale = state["threshold"], state["scale"]
        self.done, self.rounds = state["done"], state["rounds"]


def _spread(x: torch.Tensor) -> torch.Tensor:
    """Mean squared distance from the mean."""
    return (x - x.mean(0)).square().sum(1).mean().clamp_min(1e-12)
