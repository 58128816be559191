"""A command of a trainer trains to the end, and writes to a subfolder of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from training.shapes.finishing import finish


class Counting:
    """A trainer of three steps that notes what it was asked for."""

    name, steps = "counting", 3

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}
        self.done: list[int] = []
        self.saved: Path | None = None

    def step(self, index: int) -> str:
        self.done.append(index)
        return ""

    def save(self, folder: Path) -> None:
        self.saved = folder


def test_weights_are_written_after_the_last_step(tmp_path):
    trainer = Counting()
    context = click.Context(click.Command("train"), obj=(tmp_path / "runs", tmp_path / "weights"))
    finish(context, trainer, "model/part")
    assert trainer.done == [0, 1, 2]
    assert trainer.saved == tmp_path / "weights" / "model" / "part"
