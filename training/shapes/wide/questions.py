"""The questions by which shapes-vlm is taught more words: maps to name, two features to tell apart, marks to judge.

Each simulates sparse features on the exact truth of the pictures. The views of a pool are drawn once, so that what the
fixed eyes see of them can be kept: a bank of maps and marks, of which a question picks those of one feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.shapes.scenes import GRID
from training.shapes.wide.maps import draw_map, draw_taste, stray
from training.shapes.wide.pool import WidePool
from training.shapes.wide.spoken import Spoken, fits_together, nameable, speak
from training.shapes.wide.truth import ATOMS, Atom
from training.shapes.wide.views import Site
from training.shapes.wide.words import is_left_out

NEARLY_WHOLE = 0.75
"""Share of a map's cells in which an atom holds, for the map to be one of that atom."""
LEAST_PICTURES = 4


class SiteBank:
    """Maps and marked cells of a pool, drawn once.

    Args:
        pool: The pictures.
        maps: Maps of each picture.
        marks: Marked cells of each picture, most of them on objects.
        seed: Of what is drawn.
    """

    def __init__(self, pool: WidePool, maps: int, marks: int, seed: int) -> None:
        self.pool = pool
        pictures: list[int] = []
        masks: list[np.ndarray] = []
        tastes: list[tuple[str, str]] = []
        for picture in range(len(pool)):
            rng = np.random.default_rng((seed, 73, picture))
            while len(pictures) < (picture + 1) * maps:
                taste = draw_taste(rng)
                mask = draw_map(pool.cells, picture, taste, rng)
                if mask.any():
                    pictures.append(picture)
                    masks.append(stray(mask, rng) if rng.random() < 0.12 else mask)
                    tastes.append((taste.scope, taste.part))
        self.maps = len(pictures)
        for picture in range(len(pool)):
            rng = np.random.default_rng((seed, 74, picture))
            on = np.argwhere(pool.cells.owner[picture] >= 0)
            off = np.argwhere(pool.cells.owner[picture] < 0)
            wanted = min(len(on), (2 * marks + 2) // 3)
            for row, col in [*rng.permutation(on)[:wanted], *rng.permutation(off)[: marks - wanted]]:
                pictures.append(picture)
                masks.append(np.zeros((GRID, GRID), bool))
                masks[-1][row, col] = True
                tastes.append(("mark", "any"))
        self.picture = np.array(pictures)
        """The picture of each site, int [sites]."""
        self.mask = np.stack(masks)
        """What is marked, bool [sites, GRID, GRID]."""
        self.taste = tastes
        self.holds = self._holding()
        """Which atoms hold in nearly all of the marked cells, bool [sites, ATOMS]."""

    def __len__(self) -> int:
        return len(self.picture)

    def site(self, index: int) -> Site:
        """Return a site as it is shown."""
        return Site(int(self.picture[index]), self.mask[index], "map" if index < self.maps else "cell")

    def cells(self, sites: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture of each marked cell of sites, numbered in their order, and its atoms."""
        which, row, col = np.nonzero(self.mask[sites])
        return which, self.pool.cells.atoms_at(self.picture[sites][which], row, col)

    def _holding(self) -> np.ndarray:
        found = np.zeros((len(self), len(ATOMS)), bool)
        for start in range(0, len(self), 512):
            sites = np.arange(start, min(start + 512, len(self)))
            which, hold = self.cells(sites)
            counts = np.zeros((len(sites), len(ATOMS)), np.float32)
            np.add.at(counts, which, hold)
            found[sites] = counts >= NEARLY_WHOLE * self.mask[sites].sum((1, 2))[:, None]
        return found


@dataclass(frozen=True)
class NamingQuestion:
    """Sites of a feature, strongest first, pictures in which it is silent, what was drawn and what they speak for."""

    sites: tuple[int, ...]
    silent: tuple[int, ...]
    drawn: frozenset[Atom]
    spoken: Spoken
    fine: bool


@dataclass(frozen=True)
class ApartQuestion:
    """Sites of two features, and what only the first has (no atoms: they are the same, or nothing can be said)."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    difference: Spoken
    fine: bool


class WideQuestions:
    """Draws questions from a bank of sites."""

    def __init__(self, bank: SiteBank) -> None:
        self.bank, self.pool = bank, bank.pool
        self._nameable = {fine: nameable(fine) for fine in (False, True)}
        self._of_world = {wide: np.flatnonzero(self.pool.wide[bank.picture] == wide) for wide in (False, True)}

    def naming(
        self, rng: np.random.Generator, count: int, silent: int, fine: bool, marks: bool = False
    ) -> NamingQuestion | None:
        """Draw a feature by one of its sites, and further sites that are alike; None where there are too few.

        With `marks` single cells are marked in place of maps. Now and then sites of other features are among them, up
        to a half, and one question in seven has nothing in common.
        """
        sites = self._sites(rng.random() < 0.5, marks)
        if not len(sites):
            return None
        if rng.random() < 0.14:
            return self._mixed(sites, rng, count, silent, fine)
        anchor = int(rng.choice(sites))
        drawn = self._concept(anchor, fine, rng)
        if drawn is None:
            return None
        alike = self._alike(drawn, sites, anchor if rng.random() < 0.5 else None)
        chosen = self._one_a_picture(alike, count, rng)
        if len(chosen) < LEAST_PICTURES:
            return None
        share = 0.0 if rng.random() < 0.4 else rng.uniform(0, 0.5)
        others = rng.random(len(chosen)) < share
        chosen[others] = rng.choice(sites, others.sum())
        return self._asked(chosen, drawn, silent, fine, rng)

    def apart(self, rng: np.random.Generator, count: int, fine: bool) -> ApartQuestion | None:
        """Draw two features that share a word, or one feature twice, `count` sites of each at most."""
        sites = self._sites(rng.random() < 0.5, False)
        anchor = int(rng.choice(sites))
        drawn = self._concept(anchor, fine, rng)
        if drawn is None:
            return None
        first = self._one_a_picture(self._alike(drawn, sites, anchor), count, rng)
        if rng.random() < 0.25:
            rest = np.setdiff1d(self._alike(drawn, sites, anchor), first)
            second = self._one_a_picture(rest, count, rng)
        else:
            kept = frozenset(sorted(drawn)[: len(drawn) // 2])
            wider = self._alike(kept, sites, None) if kept else sites
            other = self._concept(int(rng.choice(wider)), fine, rng) if len(wider) else None
            if other is None or other | kept == drawn or not fits_together(tuple(other | kept)):
                return None
            second = self._one_a_picture(self._alike(other | kept, sites, None), count, rng)
        if min(len(first), len(second)) < LEAST_PICTURES:
            return None
        return ApartQuestion(tuple(first.tolist()), tuple(second.tolist()), self._difference(first, second, fine), fine)

    def _sites(self, wide: bool, marks: bool) -> np.ndarray:
        own = self._of_world[wide]
        return own[(own >= self.bank.maps) == marks]

    def _concept(self, site: int, fine: bool, rng: np.random.Generator) -> frozenset[Atom] | None:
        """Draw one to three atoms that a site is of."""
        able = np.flatnonzero(self.bank.holds[site] & self._nameable[fine])
        if not len(able):
            return None
        for _ in range(10):
            size = int(rng.choice([1, 2, 3], p=[0.35, 0.5, 0.15]))
            atoms = tuple(ATOMS[i] for i in rng.permutation(able)[:size])
            if fits_together(atoms) and not is_left_out({word for _, word in atoms}):
                return frozenset(atoms)
        return None

    def _alike(self, atoms: frozenset[Atom], sites: np.ndarray, anchor: int | None) -> np.ndarray:
        rows = [ATOMS.index(atom) for atom in atoms]
        alike = sites[self.bank.holds[sites][:, rows].all(1)]
        if anchor is None:
            return alike
        same = np.array([self.bank.taste[i] == self.bank.taste[anchor] for i in alike], bool)
        return alike[same]

    def _one_a_picture(self, sites: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw sites of different pictures, those with more cells more often, as evidence is drawn."""
        if not len(sites):
            return sites
        keys = rng.random(len(sites)) ** (1 / self.bank.mask[sites].sum((1, 2)))
        order = sites[np.argsort(-keys)]
        _, first = np.unique(self.bank.picture[order], return_index=True)
        return order[np.sort(first)][:count]

    def _mixed(
        self, sites: np.ndarray, rng: np.random.Generator, count: int, silent: int, fine: bool
    ) -> NamingQuestion | None:
        """Sites of nothing in common: any, or those of two or three features mixed."""
        features = []
        for _ in range(int(rng.integers(2, 4)) if rng.random() < 0.6 else 0):
            anchor = int(rng.choice(sites))
            drawn = self._concept(anchor, fine, rng)
            alike = self._alike(drawn, sites, None) if drawn else sites[:0]
            features += [self._one_a_picture(alike, count, rng)] if len(alike) >= LEAST_PICTURES else []
        if len(features) > 1:
            share = -(-count // len(features))
            chosen = rng.permutation(np.concatenate([one[:share] for one in features]))[:count]
        else:
            chosen = self._one_a_picture(rng.choice(sites, 4 * count), count, rng)
        return self._asked(chosen, frozenset(), silent, fine, rng)

    def _asked(
        self, chosen: np.ndarray, drawn: frozenset[Atom], silent: int, fine: bool, rng: np.random.Generator
    ) -> NamingQuestion | None:
        wide = bool(self.pool.wide[self.bank.picture[chosen[0]]])
        spoken = speak(*self.bank.cells(chosen), self.pool.together[wide], fine)
        if is_left_out({word for _, word in spoken.atoms}):
            return None
        pictures = np.flatnonzero(self.pool.wide == wide)
        if drawn:
            rows = [ATOMS.index(atom) for atom in drawn]
            without = pictures[~self.pool.cells.present[pictures][:, rows].all(1)]
            pictures = without if len(without) >= silent else pictures
        quiet = tuple(rng.choice(pictures, silent, replace=False).tolist())
        return NamingQuestion(tuple(chosen.tolist()), quiet, drawn, spoken, fine)

    def _difference(self, first: np.ndarray, second: np.ndarray, fine: bool) -> Spoken:
        """What only the first cells have: spoken for against those of the second in place of the world's."""
        which, hold = self.bank.cells(second)
        _, number, counts = np.unique(which, return_inverse=True, return_counts=True)
        weighted = hold * (1 / (counts[number] * len(counts)))[:, None]
        base = hold.astype(np.float64).T @ weighted
        # As if one more picture had everything: what was not seen in few pictures may yet be there.
        base = (base * len(counts) + 0.5) / (len(counts) + 1)
        return speak(*self.bank.cells(first), base, fine)


def share_of(bank: SiteBank, sites: Sequence[int], atoms: frozenset[Atom]) -> float:
    """Return the share of the cells of sites in which atoms hold, each picture counted once."""
    which, hold = bank.cells(np.array(sites))
    rows = [ATOMS.index(atom) for atom in atoms]
    return float(np.mean(np.bincount(which, hold[:, rows].all(1)) / np.bincount(which)))
