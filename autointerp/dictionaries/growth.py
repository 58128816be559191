"""Growing an ITDA dictionary: what the atoms so far explain badly becomes an atom, a round of activations at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from autointerp.dictionaries.itda import ITDA, AtomSources, Encoder
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.rounds import Round, shuffled
from autointerp.dictionaries.sparse import decode_sparse
from autointerp.errors import AutointerpError


@dataclass(frozen=True)
class GrowthOptions:
    """How an ITDA dictionary grows.

    An activation of which more than `threshold` is left unexplained (squared error over the mean squared distance
    from the mean) becomes an atom, unless it points the way of one that is there (cosine above `duplicate`). So many
    join a batch that the cap is reached after the part `fill` of the run: the first batches would fill it alone.
    After each round but the last, atoms that fired in less than `prune` of its activations make room (0: never).
    `encoder` is the mode of the pursuit.
    """

    threshold: float = 0.1
    duplicate: float = 0.98
    batch: int = 1024
    fill: float = 0.5
    prune: float = 1e-3
    encoder: Encoder = "exact"


class ITDAGrower:
    """The state of a growth, after arXiv 2505.17769 and 2505.24360; `num_atoms` is the cap."""

    rounds_wanted: int | None = None

    def __init__(
        self,
        d_in: int,
        num_atoms: int,
        k: int,
        tokens: int,
        rounds: int,
        normalize: str = "standard",
        seed: int = 0,
        options: GrowthOptions | None = None,
        device: str = "cpu",
    ) -> None:
        self.cap, self.k, self.total_rounds, self.normalize, self.seed = num_atoms, k, rounds, normalize, seed
        self.options = options or GrowthOptions()
        self.device = device
        batches = max(1, self.options.fill * tokens / self.options.batch)
        self.a_batch = math.ceil(num_atoms / batches)
        """Atoms that may join in one batch."""
        self.normalization: Normalization | None = None
        self.atoms = torch.zeros(0, d_in, device=device)
        self.places = torch.zeros(0, 4, dtype=torch.int64)
        self.used = torch.zeros(0, dtype=torch.int64, device=device)
        """How often each atom fired in the present round."""
        self.tried = torch.zeros(0, dtype=torch.int64, device=device)
        """On how many activations of the round it could have."""
        self.rounds = 0

    def train_round(self, given: Round) -> str:
        """Grow on a round, whose activations lie on the grower's device.

        Raises:
            AutointerpError: An activation is not finite.
        """
        if self.normalization is None:
            self.normalization = Normalization.measure(given.acts, self.normalize)
        normal = self.normalization.apply(given.acts)
        if not torch.isfinite(normal).all():
            raise AutointerpError("an activation is not finite", "fit with --dtype float32")
        spread = float((normal - normal.mean(0)).square().sum(1).mean().clamp_min(1e-12))
        self.used, self.tried = torch.zeros_like(self.used), torch.zeros_like(self.tried)
        left = []
        (order,) = shuffled(len(given), self.seed, self.rounds, 1)
        for batch in order.split(self.options.batch):
            left.append(float(self._grow(normal[batch.to(normal.device)], given.places[batch], spread)))
        self.rounds += 1
        if self.options.prune and self.rounds < self.total_rounds:
            # One that joined late has not been tried often enough to be judged.
            self._keep((self.used >= self.options.prune * self.tried) | (self.tried * self.options.prune < 1))
        return f"error {sum(left) / max(len(left), 1):.3f}, {len(self.atoms)} atoms"

    @torch.no_grad()
    def _grow(self, x: torch.Tensor, places: torch.Tensor, spread: float) -> torch.Tensor:
        """Take in a batch of normalised activations; returns the mean share of them that is unexplained."""
        left = x.square().sum(1) / spread
        if len(self.atoms):
            assert self.normalization is not None
            coder = ITDA(self.atoms, self.normalization, self.k, self.options.encoder)
            code = coder.encode_normal(x)
            left = (x - decode_sparse(code, self.atoms)).square().sum(1) / spread
            fired = code.latent_indices[code.latent_acts > 0]
            self.used += torch.bincount(fired, minlength=len(self.atoms))
            self.tried += len(x)
        room = min(self.cap - len(self.atoms), self.a_batch)
        if room > 0:
            # In the order they came, which is random: the worst first would be outliers alone.
            candidates = (left > self.options.threshold).nonzero().flatten()
            self._join(x, places, candidates[: 8 * room], room)
        return left.mean()

    def _join(self, x: torch.Tensor, places: torch.Tensor, candidates: torch.Tensor, room: int) -> None:
        """Add the first `room` of the candidates that point a way of their own."""
        directions = F.normalize(x[candidates], dim=1)
        if not len(directions):
            return
        alike = directions @ directions.T > self.options.duplicate
        taken = torch.zeros(len(directions), dtype=torch.bool, device=x.device)
        if len(self.atoms):
            taken = (directions @ self.atoms.T).amax(1) > self.options.duplicate
        chosen: list[int] = []
        for i in range(len(directions)):
            if len(chosen) < room and not taken[i]:
                chosen.append(i)
                taken |= alike[i]
        new = torch.tensor(chosen, dtype=torch.int64)
        self.atoms = torch.cat([self.atoms, directions[new.to(x.device)]])
        self.places = torch.cat([self.places, places[candidates.cpu()[new]]])
        none = torch.zeros(len(new), dtype=torch.int64, device=x.device)
        self.used, self.tried = torch.cat([self.used, none]), torch.cat([self.tried, none])

    def _keep(self, wanted: torch.Tensor) -> None:
        """Let go of the other atoms."""
        if not wanted.any():
            return
        self.atoms, self.used, self.tried = self.atoms[wanted], self.used[wanted], self.tried[wanted]
        self.places = self.places[wanted.cpu()]

    def dictionary(self) -> ITDA:
        """What has grown so far; its sources name images by their number until they are `located`."""
        if self.normalization is None or not len(self.atoms):
            raise ValueError("nothing was fitted yet")
        sources = AtomSources((), self.places.clone(), torch.zeros(len(self.places), dtype=torch.int64))
        return ITDA(self.atoms.clone(), self.normalization, self.k, self.options.encoder, sources)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "normalization": None if self.normalization is None else self.normalization.state_dict(),
            "atoms": self.atoms,
            "places": self.places,
            "rounds": self.rounds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        norm = state["normalization"]
        self.normalization = None if norm is None else Normalization(**norm).to(self.device)
        self.atoms, self.places = state["atoms"].to(self.device), state["places"]
        self.used = torch.zeros(len(self.atoms), dtype=torch.int64, device=self.device)
        self.tried = self.used.clone()
        self.rounds = state["rounds"]
