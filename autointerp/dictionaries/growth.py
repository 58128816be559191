"""The growth of an ITDA dictionary: activations that its atoms explain badly become atoms, round by round."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from autointerp.dictionaries.atoms import AtomSources
from autointerp.dictionaries.correlations import wide_gram
from autointerp.dictionaries.fitting import FitConfig, Trainer
from autointerp.dictionaries.itda import ITDA, Encoder
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.pursuit import pursue
from autointerp.dictionaries.reading import read_together
from autointerp.dictionaries.rounds import Round, shuffled
from autointerp.dictionaries.sparse import decode_sparse, times_fired
from autointerp.errors import AutointerpError


@dataclass(frozen=True)
class GrowthOptions:
    """Options of a growth.

    Attributes:
        threshold: An activation becomes an atom if a larger share of it is unexplained: its squared error over the mean
            squared distance from the mean.
        duplicate: An activation whose cosine with an atom is larger does not become one.
        batch: Activations coded at a time.
        fill: Share of the run after which the cap is reached. Each batch adds a bounded number of atoms, since the
            first batches alone would fill the dictionary.
        prune: After each round but the last, atoms that fired in a smaller share of its activations are removed; 0
            keeps all.
        encoder: Mode of the pursuit.
    """

    threshold: float = 0.1
    duplicate: float = 0.98
    batch: int = 1024
    fill: float = 0.5
    prune: float = 1e-3
    encoder: Encoder = "exact"


def growth_options(settings: Mapping[str, Any]) -> GrowthOptions:
    """Return options of settings by name, in a workspace's words or those of `GrowthOptions`; others have defaults."""
    named = {"encoder" if key == "pursuit" else key: value for key, value in settings.items()}
    named.pop("normalize", None)
    return GrowthOptions(**named)


def fit_itda(config: FitConfig, d_in: int, device: str) -> Trainer:
    """Begin to grow an ITDA dictionary."""
    return ITDAGrower(config, d_in, device)


class ITDAGrower:
    """A `Trainer` that grows an ITDA, after arXiv 2505.17769 and 2505.24360; the latents asked for are its cap.

    On an accelerator a batch waits for the device twice while the dictionary grows, and never once it is full.
    """

    rounds_wanted: int | None = None

    def __init__(self, config: FitConfig, d_in: int, device: str = "cpu", options: GrowthOptions | None = None) -> None:
        self.cap, self.k, self.seed, self.normalize = config.num_latents, config.k, config.seed, config.normalize
        self.total_rounds = config.rounds
        self.options = options or growth_options(config.options)
        self.device = device
        batches = max(1, self.options.fill * config.tokens / self.options.batch)
        self.a_batch = math.ceil(self.cap / batches)
        """Atoms that one batch may add."""
        self.normalization: Normalization | None = None
        self.atoms = torch.zeros(0, d_in, device=device)
        self.places = torch.zeros(0, 4, dtype=torch.int64)
        self.used = torch.zeros(0, dtype=torch.int64, device=device)
        """How often each atom fired in the present round."""
        self.tried = torch.zeros(0, dtype=torch.int64, device=device)
        """Number of activations of the round that were coded since the atom was added."""
        self.rounds = 0

    def train_round(self, given: Round) -> str:
        """Grow on a round, whose activations are on this trainer's device.

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
        there = order.to(normal.device)
        for here, batch in zip(order.split(self.options.batch), there.split(self.options.batch), strict=True):
            left.append(self._grow(normal[batch], given.places[here], spread))
        error = sum(torch.stack(left).tolist()) / len(left)
        self.rounds += 1
        if self.options.prune and self.rounds < self.total_rounds:
            # An atom that was added late has been tried too seldom to be judged.
            self._keep((self.used >= self.options.prune * self.tried) | (self.tried * self.options.prune < 1))
        return f"error {error:.3f}, {len(self.atoms)} atoms"

    @torch.no_grad()
    def _grow(self, x: torch.Tensor, places: torch.Tensor, spread: float) -> torch.Tensor:
        """Grow on a batch of normalised activations, and return their mean unexplained share."""
        left = x.square().sum(1) / spread
        if len(self.atoms):
            code = pursue(x, self.atoms, self.k, self.options.encoder, wide_gram(self.atoms))
            left = (x - decode_sparse(code, self.atoms)).square().sum(1) / spread
            self.used += times_fired(code, len(self.atoms))
            self.tried += len(x)
        room = min(self.cap - len(self.atoms), self.a_batch)
        if room > 0:
            # Candidates are taken in their random order. The worst explained ones are mostly outliers.
            candidates = (left > self.options.threshold).nonzero().flatten()
            self._join(x, places, candidates[: 8 * room], room)
        return left.mean()

    def _join(self, x: torch.Tensor, places: torch.Tensor, candidates: torch.Tensor, room: int) -> None:
        """Add the first `room` candidates that duplicate neither an atom nor each other."""
        directions = F.normalize(x[candidates], dim=1)
        if not len(directions):
            return
        alike = directions @ directions.T > self.options.duplicate
        taken = torch.zeros(len(directions), dtype=torch.bool, device=x.device)
        if len(self.atoms):
            taken = (directions @ self.atoms.T).amax(1) > self.options.duplicate
        # The choice of one candidate depends on those before it, so all is read first and chosen here.
        alike, taken, candidates = read_together(alike, taken, candidates)
        chosen: list[int] = []
        for i in range(len(directions)):
            if len(chosen) < room and not taken[i]:
                chosen.append(i)
                taken |= alike[i]
        new = torch.tensor(chosen, dtype=torch.int64)
        self.atoms = torch.cat([self.atoms, directions[new.to(x.device)]])
        self.places = torch.cat([self.places, places[candidates[new]]])
        none = torch.zeros(len(new), dtype=torch.int64, device=x.device)
        self.used, self.tried = torch.cat([self.used, none]), torch.cat([self.tried, none])

    def _keep(self, wanted: torch.Tensor) -> None:
        """Remove the atoms that are not wanted, bool [num_atoms]; where none is wanted, keep all."""
        if not wanted.any():
            return
        self.atoms, self.used, self.tried = self.atoms[wanted], self.used[wanted], self.tried[wanted]
        self.places = self.places[wanted.cpu()]

    def dictionary(self) -> ITDA:
        """Return the dictionary so far; its sources name images by their number until they are `located`."""
        if self.normalization is None or not len(self.atoms):
            raise ValueError("nothing was fitted yet")
        sources = AtomSources((), self.places.clone(), torch.zeros(len(self.places), dtype=torch.int64))
        return ITDA(self.atoms.clone(), self.normalization, self.k, self.options.encoder, sources)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
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
