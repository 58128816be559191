from __future__ import annotations

import numpy as np
import pytest

from autointerp.benchmark.scenes import rendered_pictures
from autointerp.benchmark.synthetic import FORMS, NEAR, SyntheticPlan, UnitForm, UnitMaker, firing_of
from autointerp.shapes.concepts import concept_masks
from autointerp.shapes.extensions import Atoms
from autointerp.shapes.label_verdict import relation

Made = list[tuple[UnitForm, np.ndarray]]
PICTURES = rendered_pictures(30, 50, 3)
CELLS = dict(PICTURES.cells)


@pytest.fixture(scope="module")
def made() -> Made:
    return UnitMaker(CELLS, 30, 3).units(SyntheticPlan(2, (0.04, 0.15), (0.3,)))


def test_every_form_is_made_at_the_chosen_base_rates(made: Made) -> None:
    assert [sum(unit.form == form for unit, _ in made) for form in FORMS] == [4] * 5
    for unit, acts in made:
        assert unit.base_rate / NEAR <= (acts > 0).mean() <= unit.base_rate * NEAR
        assert acts[acts > 0].min() > 0.25 * acts.max()


def test_a_unit_is_active_where_its_name_is_read_to_hold(made: Made) -> None:
    atoms, masks = Atoms.of_cells(CELLS), concept_masks(CELLS)[1]
    for unit, acts in made:
        if unit.concept is None:
            assert unit.form == "nothing"
            continue
        holds, active = atoms.extension(unit.concept.name).holds.reshape(-1), acts > 0
        if unit.form == "noisy A":
            assert (active & holds).sum() / active.sum() == pytest.approx(0.7, abs=0.02)
            assert active.sum() == holds.sum()
        else:
            assert np.array_equal(active, holds)
        if unit.form in ("A or B", "A and not B"):
            joined = " or " if unit.form == "A or B" else " not "
            a, b = (atoms.extension(part).holds.reshape(-1) for part in unit.concept.name.split(joined))
            assert np.array_equal(active, a | b if joined == " or " else a & ~b)
            assert all(relation(mask.reshape(-1), active) != "exact" for mask in masks)


def test_units_are_functions_of_the_seed(made: Made) -> None:
    again = UnitMaker(CELLS, 30, 3).units(SyntheticPlan(2, (0.04, 0.15), (0.3,)))
    assert [unit for unit, _ in again] == [unit for unit, _ in made]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(again, made, strict=True))
    other = UnitMaker(CELLS, 30, 4).units(SyntheticPlan(2, (0.04, 0.15), (0.3,)))
    assert [unit for unit, _ in other] != [unit for unit, _ in made]


def test_no_concept_is_near_an_unheard_of_base_rate() -> None:
    found = UnitMaker(CELLS, 30, 3).units(SyntheticPlan(2, (0.97,), (0.3,)))
    assert {unit.form for unit, _ in found} == {"nothing"}


def test_firing_lists_each_active_cell_once() -> None:
    firing = firing_of(
        [np.array([0, 0.5, 1.0], np.float32), np.zeros(3, np.float32), np.array([0.2, 0, 0], np.float32)]
    )
    assert firing.feature.tolist() == [0, 0, 2]
    assert firing.cell.tolist() == [1, 2, 0]
    assert firing.maximum.tolist() == pytest.approx([1.0, 0.0, 0.2])


def test_what_is_missing_is_said() -> None:
    plan = SyntheticPlan(2, (0.04, 0.97), (0.3,))
    found = [unit for unit, _ in UnitMaker(CELLS, 30, 3).units(plan)]
    assert plan.count == 20
    assert plan.missing(found) == [
        "A at 0.97: 0 of 2",
        "A or B at 0.97: 0 of 2",
        "A and not B at 0.97: 0 of 2",
        "noisy A at 0.97, 0.3 moved: 0 of 2",
    ]
