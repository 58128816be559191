"""Training of the oracle: exact cells, and pictures as the autoencoder paints them."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.oracle import HEADS, Oracle
from autointerp.shapes.scenes import held_out, render
from training.shapes.oracle import OracleTrainer, reconstructed_scene, stack_cells

pytestmark = pytest.mark.training


def test_cells_are_stacked_as_they_are() -> None:
    renders = [render(reconstructed_scene(0, i)) for i in range(3)]
    cells = stack_cells(renders)
    assert set(cells) == set(HEADS)
    for name, values in cells.items():
        assert values.shape == (3, 12, 12)
        assert (values[2] == renders[2].cells()[name]).all()


def test_scenes_of_the_pool_are_fixed_and_for_trainers() -> None:
    assert reconstructed_scene(0, 5) == reconstructed_scene(0, 5)
    assert reconstructed_scene(0, 5) != reconstructed_scene(1, 5)
    assert not any(held_out(reconstructed_scene(0, i).caption) for i in range(50))


@pytest.mark.slow
def test_a_saved_oracle_reads_as_the_trained_one(tmp_path) -> None:
    pool = np.stack([render(reconstructed_scene(0, i)).image for i in range(8)])
    trainer = OracleTrainer(pool, steps=2, batch=4)
    for index in range(2):
        trainer.step(index)
    trainer.save(tmp_path)
    read = Oracle.load(tmp_path).read(pool[:2])
    assert set(read) == set(HEADS)
    assert all(values.shape == (2, 12, 12) for values in read.values())
