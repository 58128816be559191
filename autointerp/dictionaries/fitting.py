"""Fit a TopK dictionary on activations that arrive in rounds, each seen, shuffled, trained on and let go.

Memory is bounded by one round, and a round's end is a checkpoint: the trainer's state alone, no activations, is
enough to go on to the same dictionary as a fit that was never stopped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.topk import TopK, decode_sparse, select_topk
from autointerp.errors import AutointerpError


@dataclass(frozen=True)
class TopKConfig:
    """How a TopK dictionary is fitted.

    `tokens` is how many activations all rounds bring together; `passes` how often each is trained on; `dead_after`
    the number of activations without firing after which a latent counts as dead and joins the auxiliary loss.
    """

    num_latents: int
    k: int
    tokens: int
    passes: int = 4
    batch: int = 1024
    rate: float = 1e-3
    warm: float = 0.03
    aux_k: int = 128
    aux_coefficient: float = 1 / 32
    dead_after: int = 100_000
    seed: int = 0

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return max(1, self.tokens * self.passes // self.batch)


def geometric_median(points: torch.Tensor, iterations: int = 50) -> torch.Tensor:
    """The point [d] with the least summed distance to `points` [n, d], by Weiszfeld's iteration."""
    guess = points.mean(0)
    for _ in range(iterations):
        weight = 1 / (points - guess).norm(dim=1).clamp_min(1e-6)
        guess = (weight[:, None] * points).sum(0) / weight.sum()
    return guess


class TopKTrainer:
    """The state of a fit.

    Gao et al. (arXiv 2406.04093): decoder rows of unit norm with the parallel gradient removed, tied at the start;
    dead latents rebuild what the live ones leave over (`aux_k`, `aux_coefficient`).
    """

    def __init__(self, d_in: int, config: TopKConfig, device: str = "cpu") -> None:
        self.config = config
        draw = torch.Generator().manual_seed(config.seed)
        directions = F.normalize(torch.randn(config.num_latents, d_in, generator=draw), dim=1).to(device)
        self.W_dec = directions.clone().requires_grad_()
        self.W_enc = directions.T.clone().requires_grad_()
        self.b_enc = torch.zeros(config.num_latents, device=device, requires_grad=True)
        self.b_dec = torch.zeros(d_in, device=device, requires_grad=True)
        self.parameters = [self.W_enc, self.b_enc, self.W_dec, self.b_dec]
        self.optimizer = torch.optim.Adam(self.parameters, lr=config.rate, betas=(0.9, 0.999), eps=1e-8)
        self.silent_for = torch.zeros(config.num_latents, dtype=torch.int64, device=device)
        self.normalization: Normalization | None = None
        self.done = 0
        self.rounds = 0

    @property
    def dead(self) -> int:
        """Latents that have not fired for `dead_after` activations."""
        return int((self.silent_for >= self.config.dead_after).sum())

    def train_round(self, acts: torch.Tensor) -> float:
        """Train `passes` times over raw activations [n, d_in]; return the mean normalised squared error.

        `acts` lie on the trainer's device.
        """
        if self.normalization is None:
            self.normalization = Normalization.measure(acts)
            with torch.no_grad():
                self.b_dec.copy_(geometric_median(self.normalization.apply(acts[:8192])))
        normal = self.normalization.apply(acts)
        draw = torch.Generator().manual_seed((self.config.seed << 20) + self.rounds)
        losses = []
        for _ in range(self.config.passes):
            order = torch.randperm(len(normal), generator=draw)
            for batch in order.split(self.config.batch):
                losses.append(self._step(normal[batch.to(normal.device)]))
        self.rounds += 1
        return sum(losses) / max(len(losses), 1)

    def _step(self, x: torch.Tensor) -> float:
        config = self.config
        share = self.done / config.steps
        factor = min(1.0, share / config.warm if config.warm else 1.0) * min(1.0, 5 * max(1 - share, 0.0))
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate * max(factor, 1e-3)
        centered = x - self.b_dec
        pre_acts = centered @ self.W_enc + self.b_enc
        code = select_topk(pre_acts, config.k)
        rebuilt = decode_sparse(code, self.W_dec)
        variance = (x - x.mean(0)).square().sum(1).mean().clamp_min(1e-12)
        error = centered - rebuilt
        loss = error.square().sum(1).mean() / variance
        dead = (self.silent_for >= config.dead_after).nonzero().flatten()
        total = loss
        if len(dead):
            auxiliary = select_topk(pre_acts[:, dead], min(config.aux_k, len(dead)))
            again = decode_sparse(auxiliary, self.W_dec[dead])
            left = error.detach()
            spread = (left - left.mean(0)).square().sum(1).mean().clamp_min(1e-12)
            missed = (left - again).square().sum(1).mean() / spread
            total = loss + config.aux_coefficient * missed.nan_to_num(0.0)
        self.optimizer.zero_grad()
        total.backward()
        with torch.no_grad():
            gradient = self.W_dec.grad
            assert gradient is not None
            gradient -= (gradient * self.W_dec).sum(1, keepdim=True) * self.W_dec
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            self.W_dec /= self.W_dec.norm(dim=1, keepdim=True)
            fired = torch.zeros_like(self.silent_for, dtype=torch.bool)
            fired[code.latent_indices[code.latent_acts > 0]] = True
            self.silent_for = torch.where(fired, 0, self.silent_for + len(x))
        self.done += 1
        value = float(loss.detach())
        if not math.isfinite(value):
            raise AutointerpError(
                f"the fit's loss is not finite at step {self.done}", "fit with --dtype float32, or a smaller -k"
            )
        return value

    def dictionary(self) -> TopK:
        """What was fitted so far, with the normalisation folded in."""
        if self.normalization is None:
            raise ValueError("nothing was fitted yet")
        with torch.no_grad():
            folded = self.normalization.fold(self.W_enc, self.b_enc, self.W_dec, self.b_dec)
        W_enc, b_enc, W_dec, b_dec = (t.detach().clone() for t in folded)
        return TopK(W_enc, b_enc, W_dec, b_dec, self.config.k)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        norm = self.normalization
        return {
            "parameters": [p.detach() for p in self.parameters],
            "optimizer": self.optimizer.state_dict(),
            "silent_for": self.silent_for,
            "normalization": None if norm is None else {"mean": norm.mean, "std": norm.std},
            "done": self.done,
            "rounds": self.rounds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        with torch.no_grad():
            for p, value in zip(self.parameters, state["parameters"], strict=True):
                p.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        device = self.silent_for.device
        self.silent_for = state["silent_for"].to(device)
        norm = state["normalization"]
        self.normalization = None if norm is None else Normalization(norm["mean"].to(device), norm["std"].to(device))
        self.done, self.rounds = state["done"], state["rounds"]
