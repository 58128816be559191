"""The answers of a benchmark: what each unit is about, and where it is active in the pictures that nobody is shown.

Names are held against these. They are made anew from the recipe of the tasks, or kept in a file that is not given away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.benchmark.synthetic import FORMS, UnitForm
from autointerp.errors import AutointerpError
from autointerp.files import whole_file
from autointerp.shapes.concepts import Concept, all_concepts
from autointerp.shapes.halves import SPLITS, HalfTruths
from autointerp.shapes.held_out import HeldOutCells, packed, unpacked
from autointerp.shapes.truth import ActiveCells, FeatureTruth, odds_ratios
from autointerp.shapes.verdict import Evaluated
from autointerp.text_files import read_text

SYNTHETIC = "synthetic"
"""The group of all synthetic units; features are in the group of their dictionary."""
FEATURE = "feature"
"""The form of a unit that is a feature."""


@dataclass(frozen=True)
class BenchmarkUnit:
    """A unit of a benchmark, and what is said of it in results.

    Attributes:
        name: What tasks and labels call it.
        group: `synthetic`, or the name of a dictionary.
        form: The form of a synthetic unit; `feature` for a feature.
        base_rate: The share of active cells that was chosen; None for a feature.
        noise: The share of a synthetic unit's active cells that was moved.
    """

    name: str
    group: str
    form: str
    base_rate: float | None = None
    noise: float = 0.0


@dataclass(frozen=True)
class BenchmarkAnswers:
    """Units with their truths.

    Attributes:
        units: The units, in the order of the tasks.
        truths: What names are held against, on the held-out pictures.
    """

    units: tuple[BenchmarkUnit, ...]
    truths: Evaluated

    @property
    def digest(self) -> str:
        """A hash of what all units are about, which tells whether answers are those of some tasks."""
        said = [[unit.name, _name_of(truth)] for unit, truth in zip(self.units, self.truths.truths, strict=True)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def of(self, wanted: Sequence[int]) -> BenchmarkAnswers:
        """Return the answers of some units alone, by their places."""
        own = self.truths
        active = own.seen.active
        places = np.full(len(self.units), -1)
        places[list(wanted)] = np.arange(len(wanted))
        kept = places[active.feature] >= 0
        some = ActiveCells(
            len(wanted), places[active.feature[kept]], active.image[kept], active.row[kept], active.col[kept]
        )
        halves = HalfTruths(own.halves.rows[:, list(wanted)], own.halves.seed)
        truths = [own.truths[place] for place in wanted]
        found = Evaluated(truths, own.concepts, HeldOutCells(own.seen.cells, some), halves)
        return BenchmarkAnswers(tuple(self.units[place] for place in wanted), found)

    def groups(self) -> dict[str, list[int]]:
        """Return the places of the units that figures are about: of each group, and of each form of synthetic units."""
        found: dict[str, list[int]] = {}
        for place, unit in enumerate(self.units):
            found.setdefault(unit.group, []).append(place)
        forms: list[str] = list(FORMS)
        synthetic = [
            (forms.index(unit.form), unit.noise, place)
            for place, unit in enumerate(self.units)
            if unit.group == SYNTHETIC
        ]
        for form, noise, place in sorted(synthetic):
            said = f"{SYNTHETIC}: {FORMS[form]}" + (f", {noise:g} moved" if noise else "")
            found.setdefault(said, []).append(place)
        return found

    def write(self, path: Path) -> None:
        """Write the answers to a file.

        Raises:
            AutointerpError: The file cannot be written.
        """
        own = self.truths
        stored = {
            "answers": 1,
            "units": [asdict(unit) for unit in self.units],
            "concepts": [asdict(concept) for concept in own.concepts],
            "truths": [
                None if t is None else [own.concepts.index(t.concept), t.precision, t.base_rate, t.odds_ratio, t.images]
                for t in own.truths
            ],
            "seen": own.seen.as_dict(),
            "halves": {"rows": packed(own.halves.rows.astype("<i2")), "seed": own.halves.seed},
        }
        with whole_file(path, hint="name another file") as partial:
            partial.write_text(json.dumps(stored) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> BenchmarkAnswers:
        """Read the answers that `write` wrote.

        Raises:
            OSError: The file cannot be read.
            AutointerpError: It holds no answers.
        """
        try:
            stored: dict[str, Any] = json.loads(read_text(path))
            concepts = [Concept(**{**one, "words": tuple(one["words"])}) for one in stored["concepts"]]
            truths = [None if t is None else FeatureTruth(concepts[t[0]], *t[1:]) for t in stored["truths"]]
            rows = np.frombuffer(unpacked(stored["halves"]["rows"]), "<i2").reshape(2 * SPLITS, len(truths))
            seen = HeldOutCells.from_dict(stored["seen"])
            units = tuple(BenchmarkUnit(**one) for one in stored["units"])
            return cls(units, Evaluated(truths, concepts, seen, HalfTruths(rows, stored["halves"]["seed"])))
        except (ValueError, KeyError, TypeError, IndexError):
            raise AutointerpError(
                f"{path} holds no answers of a benchmark", "name the file that `--answers` wrote"
            ) from None


def _name_of(truth: FeatureTruth | None) -> str:
    return "" if truth is None else truth.concept.name


def synthetic_truths(forms: Sequence[UnitForm], seen: HeldOutCells, seed: int) -> Evaluated:
    """Return what synthetic units are about as the verdict on a dictionary; it is the same on any pictures."""
    from autointerp.shapes.extensions import Atoms

    concepts = all_concepts()
    row_of = {concept.name: row for row, concept in enumerate(concepts)}
    atoms, active = Atoms.of_cells(seen.cells), seen.active
    truths: list[FeatureTruth | None] = []
    for place, form in enumerate(forms):
        if form.concept is None:
            truths.append(None)
            continue
        if form.concept.name not in row_of:
            row_of[form.concept.name] = len(concepts)
            concepts.append(form.concept)
        concept = concepts[row_of[form.concept.name]]
        own, holds = active.feature == place, atoms.extension(concept.name).holds
        precision = float(holds[active.image[own], active.row[own], active.col[own]].mean())
        base = float(holds.mean())
        odds = float(odds_ratios(np.array([precision]), np.array([base]))[0])
        truths.append(FeatureTruth(concept, precision, base, odds, len(np.unique(active.image[own]))))
    rows = np.array([-1 if truth is None else row_of[truth.concept.name] for truth in truths], np.int16)
    return Evaluated(truths, concepts, seen, HalfTruths(np.tile(rows, (2 * SPLITS, 1)), seed))


def joined(first: Evaluated, second: Evaluated) -> Evaluated:
    """Return two verdicts on the same pictures as one; the list of concepts of the second begins that of the first."""
    one, other = first.seen.active, second.seen.active
    active = ActiveCells(
        one.num_features + other.num_features,
        np.concatenate([one.feature, other.feature + one.num_features]),
        *(np.concatenate([getattr(one, key), getattr(other, key)]) for key in ("image", "row", "col")),
    )
    halves = HalfTruths(np.concatenate([first.halves.rows, second.halves.rows], axis=1), first.halves.seed)
    seen = HeldOutCells(first.seen.cells, active)
    return Evaluated([*first.truths, *second.truths], first.concepts, seen, halves)
