"""An experiment that measures nothing real, so that the frame is tested in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autointerp.crops.panel import Panel
from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, PlotLine, Unit
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder


class Scripted:
    """Units of which each result is its key's length; it stops at `stop_at`, once."""

    kind = "scripted"
    title = "How long are <b>keys</b>?"

    def __init__(self, count: int = 5, stop_at: int | None = None, error: BaseException | None = None) -> None:
        self.count, self.stop_at, self.error = count, stop_at, error
        self.measured: list[str] = []

    def configuration(self) -> dict[str, Any]:
        return {"count": self.count}

    def units(self) -> list[Unit]:
        return [Unit("case " + "x" * i, images=2) for i in range(self.count)]

    def cost(self, units: Sequence[Unit]) -> Cost:
        images = sum(unit.images for unit in units)
        return Cost(4 * images, images, 65.0)

    def measure(self, units: Sequence[Unit], bar: Any) -> Iterator[tuple[Unit, dict[str, Any]]]:
        for number, unit in enumerate(units):
            if number == self.stop_at:
                raise self.error or KeyboardInterrupt
            self.measured.append(unit.key)
            yield unit, {"length": len(unit.key), "nothing": float("nan")}

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        assert len(results) == self.count
        total = sum(result["length"] for result in results.values())
        return [
            Figure("length", "all", "chance", 1.0, control=True),
            Figure("length", "all", "sae", total / self.count, 1.0, 9.0, self.count),
            Figure("length", "none", "sae", None),
        ]

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        return [Plot("length", "key", "letters", [PlotLine("sae", [0.0, 1.0], [1.0, None], [0.5, None], [2.0, None])])]

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        return [PictureRow("a \u202e<script>", [Panel("before", Image.new("RGB", (96, 96), "red"))])]


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    """A context of a new workspace."""
    context = Context(WorkspaceFolder.create(tmp_path / "w"))
    yield context
    context.workspace.close()


@pytest.fixture
def scripted_experiment() -> type[Scripted]:
    return Scripted
