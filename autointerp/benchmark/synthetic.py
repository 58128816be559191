"""Synthetic units: units whose activity is made from the truth of cells, so that what they are about is known.

A unit is active where A holds, where A or B holds, where A holds and B does not, or where A holds but for some noise.
Some are active in random cells, and are about nothing. A and B are drawn so that the unit is active in a chosen share
of all cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autointerp.shapes.concepts import Concept, concept_masks
from autointerp.shapes.extensions import Atoms
from autointerp.shapes.label_verdict import relation
from autointerp.shapes.verdict import Firing

Form = Literal["A", "A or B", "A and not B", "noisy A", "nothing"]
FORMS: tuple[Form, ...] = ("A", "A or B", "A and not B", "noisy A", "nothing")
NEAR = 1.5
"""Factor by which the share of active cells may differ from the chosen one."""
TRIES = 4000
"""Draws, such as pairs of concepts, that are tried for units of one form and base rate."""
LEAST_PART = 0.25
"""Least part of a unit's cells that each of its two concepts decides alone."""
LEAST_IMAGES = 4
"""Pictures of either kind in which a unit must be active."""
LOWEST = 0.3
"""Least activation of an active cell; the largest is 1. Cells above 0.25 of the maximum count as active."""


@dataclass(frozen=True)
class UnitForm:
    """What a synthetic unit is.

    Attributes:
        form: How its activity is made.
        base_rate: The share of active cells that was chosen.
        noise: The share of its active cells that was moved to cells in which A does not hold.
        concept: What it is about; None for a unit that is about nothing.
    """

    form: Form
    base_rate: float
    noise: float
    concept: Concept | None


@dataclass(frozen=True)
class SyntheticPlan:
    """Which synthetic units to make.

    Attributes:
        each: How many of each form, base rate and noise rate.
        base_rates: Shares of all cells in which units are active.
        noises: Shares of active cells that are moved, for noisy units.
    """

    each: int = 4
    base_rates: tuple[float, ...] = (0.01, 0.04, 0.15)
    noises: tuple[float, ...] = (0.1, 0.3)

    @property
    def kinds(self) -> list[tuple[Form, float, float]]:
        """The form, base rate and noise rate of each kind of unit."""
        return [
            (form, rate, noise)
            for rate in self.base_rates
            for form in FORMS
            for noise in (self.noises if form == "noisy A" else (0.0,))
        ]

    @property
    def count(self) -> int:
        """How many units are asked for."""
        return self.each * len(self.kinds)

    def missing(self, made: Sequence[UnitForm]) -> list[str]:
        """Say of which kinds there are fewer units than asked for, as in `A or B at 0.01: 2 of 4`."""
        found = []
        for form, rate, noise in self.kinds:
            count = sum((one.form, one.base_rate, one.noise) == (form, rate, noise) for one in made)
            if count < self.each:
                moved = f", {noise:g} moved" if noise else ""
                found.append(f"{form} at {rate:g}{moved}: {count} of {self.each}")
        return found


class UnitMaker:
    """Makes synthetic units on one set of pictures.

    Args:
        cells: The truth of cells, as for `concept_masks`.
        shown: How many of the pictures are shown.
        seed: Seed of all draws.
    """

    def __init__(self, cells: dict[str, np.ndarray], shown: int, seed: int) -> None:
        self.concepts, masks = concept_masks(cells)
        self._masks = masks.reshape(len(masks), -1)
        self._rates = self._masks.mean(1)
        self._atoms = Atoms.of_cells(cells)
        self._images, self._shown, self._seed = len(cells["part"]), shown, seed
        self._taken: set[str] = set()

    def units(self, plan: SyntheticPlan) -> list[tuple[UnitForm, np.ndarray]]:
        """Return units, each with its activation in every cell: float32 [cells], 0 where it is silent.

        There are fewer than planned where no more concepts have the chosen base rate.
        """
        found: list[tuple[UnitForm, np.ndarray]] = []
        for form, rate, noise in plan.kinds:
            at = plan.base_rates.index(rate)
            rng = np.random.default_rng((self._seed, 67, at, FORMS.index(form), round(noise * 1000)))
            found += itertools.islice(self._made(form, rate, noise, rng), plan.each)
        return found

    def _made(
        self, form: Form, rate: float, noise: float, rng: np.random.Generator
    ) -> Iterator[tuple[UnitForm, np.ndarray]]:
        """Yield units of a form."""
        for concept, mask in self._picked(form, rate, rng):
            active = _noisy(mask, noise, rng) if noise else mask
            if self._is_seen(active):
                strength = rng.uniform(LOWEST, 1.0, active.size).astype(np.float32)
                yield UnitForm(form, rate, noise, concept), np.where(active, strength, np.float32(0))

    def _picked(self, form: Form, rate: float, rng: np.random.Generator) -> Iterator[tuple[Concept | None, np.ndarray]]:
        """Yield what units of a form may be about, with the cells where that holds."""
        if form == "nothing":
            for _ in range(TRIES):
                yield None, rng.random(self._masks.shape[1]) < rate
        elif form in ("A", "noisy A"):
            for row in rng.permutation(len(self.concepts)).tolist():
                concept = self.concepts[row]
                if concept.kind != "position" and _is_near(self._rates[row], rate):
                    yield concept, self._masks[row]
        else:
            yield from self._pairs(form, rate, rng)

    def _pairs(self, form: Form, rate: float, rng: np.random.Generator) -> Iterator[tuple[Concept, np.ndarray]]:
        rows = [row for row, concept in enumerate(self.concepts) if concept.kind != "position" and self._rates[row] > 0]
        for _ in range(TRIES):
            one, other = rng.choice(rows, 2, replace=False).tolist()
            a, b = self._masks[one], self._masks[other]
            holds: np.ndarray = a | b if form == "A or B" else a & ~b
            if not _is_near(holds.mean(), rate):
                continue
            parts = (a & ~b, b & ~a) if form == "A or B" else (a & ~b, a & b)
            if min(part.sum() for part in parts) < LEAST_PART * (holds.sum() if form == "A or B" else a.sum()):
                continue
            joined = "or" if form == "A or B" else "not"
            name = f"{self.concepts[one].name} {joined} {self.concepts[other].name}"
            if name not in self._taken and self._says(name, holds):
                self._taken.add(name)
                first, second = self.concepts[one], self.concepts[other]
                specific = first.specific or (form == "A or B" and second.specific)
                yield Concept(name, (*first.words, *second.words), first.kind, specific), holds

    def _says(self, name: str, holds: np.ndarray) -> bool:
        """Return whether a name is read as what it was made of, and no concept says the same."""
        read = self._atoms.extension(name)
        if read.problem or not np.array_equal(read.holds.reshape(-1), holds):
            return False
        return all(relation(mask, holds) != "exact" for mask in self._masks)

    def _is_seen(self, active: np.ndarray) -> bool:
        """Return whether a unit is active in enough pictures of either kind."""
        images = np.asarray(active.reshape(self._images, -1).any(1))
        return min(images[: self._shown].sum(), images[self._shown :].sum()) >= LEAST_IMAGES


def firing_of(activations: Sequence[np.ndarray]) -> Firing:
    """Return where units fire, of their activations in every cell."""
    cells = [np.flatnonzero(one) for one in activations]
    feature = np.repeat(np.arange(len(cells)), [len(one) for one in cells])
    acts = [one[at] for one, at in zip(activations, cells, strict=True)]
    maximum = np.array([one.max(initial=0) for one in activations], np.float32)
    none = np.zeros(0, np.int64)
    return Firing(
        len(cells), feature, np.concatenate([*cells, none]), np.concatenate([*acts, none.astype(np.float32)]), maximum
    )


def _is_near(rate: float, chosen: float) -> bool:
    return chosen / NEAR <= rate <= chosen * NEAR


def _noisy(mask: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Move a share of the cells of a mask to cells outside of it."""
    on, off = np.flatnonzero(mask), np.flatnonzero(~mask)
    moved = min(round(noise * len(on)), len(off))
    noisy = mask.copy()
    noisy[rng.choice(on, moved, replace=False)] = False
    noisy[rng.choice(off, moved, replace=False)] = True
    return noisy
