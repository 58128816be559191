"""Which concept the shown cells of a feature speak for: the name that shapes-vlm is taught to say.

The narrowest concept that holds in nearly all of the cells, of which every word earns its place: given the rest of
the concept, a word must hold in the shown cells more often than it does in the pictures of that world, with the
picture as the unit. A word that most of such cells have anyway says nothing of the feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from training.shapes.wide.truth import ATOMS, Atom
from training.shapes.wide.words import KIND_OF, WORDS

NEARLY_ALL = 0.75
"""Share of the shown cells, one cell like any other of the world counted in, in which a named concept holds."""
BY_CHANCE = 0.05
"""A word earns its place if so many or more pictures would have it by chance with at most this probability."""
LEAST_ODDS = 11.0
"""Odds of a named concept over those of its base rate: what holds in half of all cells must hold in nearly all."""
CAP = 0.95
CANDIDATES = 10
"""Atoms at most of which concepts are made, the rarest first."""


@dataclass(frozen=True)
class Spoken:
    """What cells speak for: its atoms (none: nothing in common), the share that it holds in, and how sure it is."""

    atoms: frozenset[Atom]
    share: float
    sure: float


def tail(successes: float, trials: float, chance: float) -> float:
    """The probability of at least so many successes; trials and successes are rounded to whole pictures."""
    n, k = round(trials), round(successes)
    return float(sum(comb(n, i) * chance**i * (1 - chance) ** (n - i) for i in range(k, n + 1)))


def nameable() -> np.ndarray:
    """Which words may be part of a name, bool [WORDS]: plain background is what most cells are."""
    return np.array([word != "background" for word in WORDS])


def fits_together(atoms: tuple[Atom, ...]) -> bool:
    """Whether a name can hold these atoms: no two of one kind, and of what is no object no word of an object."""
    kinds = [KIND_OF[word] for _, word in atoms]
    if len(set(kinds)) < len(kinds):
        return False
    # A place is said with the look of an object alone: with a part or a background it is no concept of the world.
    if len({"part", "background", "place"} & set(kinds)) > 1:
        return False
    # Plain `object` is said by any other word of an object.
    return len(atoms) == 1 or ("", "object") not in atoms


def speak(pictures: np.ndarray, rows: np.ndarray, base: np.ndarray) -> Spoken:
    """Find the concept that shown cells speak for.

    Args:
        pictures: The picture of each shown cell, int [cells]. A picture counts once, however many cells it shows.
        rows: Which words hold in each, bool [cells, WORDS].
        base: Shares of all cells in which two words hold together, float64 [WORDS, WORDS], as in `WidePool.together`.

    Returns:
        The concept of the largest lift among those that hold in nearly all cells and whose words earn their places.
    """
    _, which, counts = np.unique(pictures, return_inverse=True, return_counts=True)
    weight = 1 / counts[which]
    n = len(counts)
    alone = np.maximum(np.diagonal(base), 1e-4)
    held = weight @ rows
    sure = (held + alone) / (n + 1)
    able = np.flatnonzero(nameable() & (sure >= NEARLY_ALL))
    able = able[np.argsort(alone[able], kind="stable")][:CANDIDATES]
    best = Spoken(frozenset(), 0.0, float(1 - sure.max(initial=0.0)))
    best_lift = 0.0
    for size in (1, 2):
        for chosen in combinations(able.tolist(), size):
            atoms = tuple(ATOMS[i] for i in chosen)
            if not fits_together(atoms):
                continue
            k = float(weight @ rows[:, chosen].all(1))
            rate = _rate(chosen, base, alone)
            likely = (k + rate) / (n + 1)
            counted = min(k / n, CAP)
            odds = counted / (1 - counted) * (1 - rate) / rate
            if likely < NEARLY_ALL or odds < LEAST_ODDS:
                continue
            if size > 1 and not all(_earned(i, chosen, rows, weight, base, alone) for i in chosen):
                continue
            lift = round(k / n / rate, 9)
            if lift > best_lift:
                best_lift, best = lift, Spoken(frozenset(atoms), k / n, likely)
    return best


def _rate(chosen: tuple[int, ...], base: np.ndarray, alone: np.ndarray) -> float:
    """How often one or two atoms hold together in any cell."""
    if len(chosen) == 1:
        return float(alone[chosen[0]])
    return float(max(base[chosen[0], chosen[1]], 1e-5))


def _earned(
    atom: int, chosen: tuple[int, ...], rows: np.ndarray, weight: np.ndarray, base: np.ndarray, alone: np.ndarray
) -> bool:
    rest = tuple(i for i in chosen if i != atom)
    trials = float(weight @ rows[:, rest].all(1))
    successes = float(weight @ rows[:, chosen].all(1))
    chance = min(_rate(chosen, base, alone) / _rate(rest, base, alone), 1.0)
    return tail(successes, trials, chance) <= BY_CHANCE
