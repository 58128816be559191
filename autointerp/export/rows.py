"""A feature's row in an export, and its form as a JSON line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autointerp.errors import AutointerpError
from autointerp.texts import to_json


class ExportScore(BaseModel):
    """A score of a label, with its 95% confidence interval."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    method: str
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None


class ExportRow(BaseModel):
    """A feature with its label, one line of `labels.jsonl`; a feature without a label has the status `unlabeled`."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    index: int = Field(ge=0)
    name: str = ""
    explanation: str = ""
    status: str = "unlabeled"
    confidence: float | None = None
    labeler: str = ""
    scores: tuple[ExportScore, ...] = ()
    state: str = "live"
    density: float = 0.0
    max_activation: float = 0.0
    mean_activation: float | None = None
    told_apart_from: tuple[int, ...] = ()
    difference: str = ""
    name_before: str = ""
    same_as: tuple[int, ...] = ()
    extra: dict[str, Any] = Field(default_factory=dict)

    def score(self, method: str) -> float | None:
        """Return the value of the first score of a method; None without one."""
        return next((s.value for s in self.scores if s.method == method), None)


def write_lines(rows: Iterable[ExportRow], path: Path) -> int:
    """Write rows as JSON lines, one feature a line; return how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(to_json(row.model_dump(mode="json"), sort_keys=True) + "\n")
            count += 1
    return count


def read_lines(path: Path) -> Iterator[ExportRow]:
    """Read the rows that `write_lines` wrote.

    Raises:
        AutointerpError: A line is no row; the message says which line.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield ExportRow.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(p) for p in first["loc"]) or "line"
                raise AutointerpError(
                    f"{path}, line {number}: {where}: {first['msg']}", "export it again with `autointerp export`"
                ) from error
