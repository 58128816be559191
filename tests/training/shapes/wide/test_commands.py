"""The commands of the third training are there, and print what was measured."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from training.shapes.__main__ import main
from training.shapes.wide import measure


@pytest.mark.parametrize("command", ["vlm-eyes", "measure-eyes", "widen-vlm", "measure-wide"])
def test_the_commands_are_there(command):
    assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0


def test_words_and_pairs_are_printed(monkeypatch):
    monkeypatch.setattr(measure, "word_figures", lambda vlm, count, seed=0: ({"words known": 3.0}, {"red": 0.8}))
    monkeypatch.setattr(measure, "pair_figures", lambda vlm, pairs, count, seed=0: (0.5, {"black fish": 0.5}))
    done = CliRunner().invoke(main, ["measure-wide", "--apart", "0", "--each", "--questions", "2"])
    assert done.exit_code == 0, done.output
    assert "words known" in done.output
    assert "26 pairs left out of training, named right: 0.500" in done.output
    assert done.output.index("black fish") < done.output.index("red  ")
