"""Marks are cells with the words that hold in them."""

from __future__ import annotations

import numpy as np

from training.shapes.wide.words import EXCLUSIVE, INDEX


def test_words_hold_where_the_truth_says(bank):
    marks = np.arange(len(bank))
    red = bank.having(frozenset(["red"]), marks)
    assert 0 < len(red) < len(bank)
    where = bank.pool.cells.where([("", "red")], np.arange(len(bank.pool)))
    assert where[tuple(bank.cells[red].T)].all()
    assert not where[tuple(bank.cells[np.setdiff1d(marks, red)].T)].any()
    assert "red" in bank.words_at(int(red[0]))
    assert bank.shown(3).cell == tuple(bank.cells[3, 1:])


def test_a_cell_has_one_colour_at_most(bank):
    colours = bank.holds[:, [INDEX[word] for word in EXCLUSIVE["color"]]]
    assert colours.sum(1).max() == 1


def test_other_pictures_are_drawn_before_the_same_again(bank):
    rng = np.random.default_rng(0)
    red = bank.having(frozenset(["red"]), np.arange(len(bank)))
    pictures = bank.pictures(red)
    drawn = bank.draw(red, pictures + 2, rng)
    assert len(drawn) == len(set(drawn.tolist())) == pictures + 2
    assert bank.pictures(drawn[:pictures]) == pictures
