"""The stored experiments of a workspace: how far each is, its figures as tables, its verdicts, and its report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from autointerp.db import queries
from autointerp.db.models import ExperimentRow
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.texts import to_json
from autointerp.views.figures import Figure, FigureTable, tables_of
from autointerp.views.verdicts import DECISIONS, ClaimVerdict

REPORT_PAGE, REPORT_PLOT, REPORT_FIGURES = "report.html", "plot.png", "figures.json"
"""Files in the folder of a report."""


@dataclass(frozen=True)
class StoredExperiment:
    """An experiment as it is stored.

    Attributes:
        id: Id of its row.
        kind: `transfer`, `emergence`, `probe`, ...
        identity: Hash of all that decides the figures.
        model: The diffusion model.
        revision: The model's revision, where it has one.
        configuration: All that decides the figures.
        state: `running`, `done`, `interrupted` or `failed`.
        error: Why it failed.
        done: Units that were measured.
        total: Units in all.
        begun: When it was begun, UTC.
        figures: The figures; empty until all units are measured.
        page: The report's page; None where the workspace has none.
        plot: The report's plot; None where the workspace has none.
        verdicts: What its report says of published claims; empty without a report, and of other experiments.
    """

    id: int
    kind: str
    identity: str
    model: str
    revision: str | None
    configuration: Mapping[str, Any]
    state: str
    error: str
    done: int
    total: int
    begun: datetime
    figures: tuple[Figure, ...]
    page: Path | None
    plot: Path | None
    verdicts: tuple[ClaimVerdict, ...] = ()

    @property
    def name(self) -> str:
        """The name of its report's folder: the kind, and the beginning of the identity."""
        return report_name(self.kind, self.identity)

    @property
    def tables(self) -> list[FigureTable]:
        """The figures as tables, without those that the verdicts say."""
        decided = {one.source for one in self.verdicts}
        return tables_of([figure for figure in self.figures if figure.name.partition(": ")[0] not in decided])

    @property
    def decisions(self) -> dict[str, int]:
        """How many verdicts there are of each of `DECISIONS`."""
        return {decision: sum(one.verdict == decision for one in self.verdicts) for decision in DECISIONS}

    @property
    def sources(self) -> dict[str, list[ClaimVerdict]]:
        """The verdicts by their papers, with the titles of these where figures have them."""
        titles = {figure.name.partition(": ")[0]: figure.name for figure in self.figures}
        found: dict[str, list[ClaimVerdict]] = {}
        for one in self.verdicts:
            found.setdefault(titles.get(one.source, one.source), []).append(one)
        return found

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What it was asked: each key of the configuration with its value as text, in the order of the keys."""
        found = sorted(self.configuration.items())
        return [(key, value if isinstance(value, str) else to_json(value)) for key, value in found]

    @property
    def controls(self) -> int:
        """How many of the figures are controls."""
        return sum(figure.control for figure in self.figures)

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `/api/experiments`: the keys of `experiment --json`, and how far it is."""
        return {
            "experiment": self.kind,
            "identity": self.identity,
            "model": self.model,
            "revision": self.revision,
            "configuration": dict(self.configuration),
            "figures": [figure.as_dict() for figure in self.figures],
            "verdicts": [one.as_dict() for one in self.verdicts],
            "name": self.name,
            "state": self.state,
            "done": self.done,
            "total": self.total,
        }


def report_name(kind: str, identity: str) -> str:
    """Return the name of the folder in which a workspace keeps an experiment's report."""
    return f"{kind}-{identity[:8]}"


def list_experiments(ctx: Context) -> list[StoredExperiment]:
    """Read all experiments, newest first."""
    with ctx.db.session() as session:
        rows = queries.experiments.list_all(session)
        done = queries.experiments.unit_counts(session)
        return [_stored(ctx, row, done.get(row.id, 0)) for row in rows]


def read_experiment(ctx: Context, name: str) -> StoredExperiment:
    """Read the experiment whose report's folder has this name.

    Raises:
        UsageError: There is none.
    """
    found = next((one for one in list_experiments(ctx) if one.name == name), None)
    if found is None:
        raise UsageError("there is no such experiment here", "the page Experiments lists those that there are")
    return found


def _stored(ctx: Context, row: ExperimentRow, done: int) -> StoredExperiment:
    page, plot, figures = (_report_file(ctx, row, name) for name in (REPORT_PAGE, REPORT_PLOT, REPORT_FIGURES))
    return StoredExperiment(
        id=row.id,
        kind=row.kind,
        identity=row.identity,
        model=row.model,
        revision=row.revision,
        configuration=row.configuration,
        state=row.state,
        error=row.error,
        done=done,
        total=row.total,
        begun=row.created_at,
        figures=tuple(Figure(**figure) for figure in row.figures),
        page=page,
        plot=plot,
        verdicts=() if figures is None else _verdicts(figures),
    )


def _verdicts(figures: Path) -> tuple[ClaimVerdict, ...]:
    """Read the verdicts of a report; none where it has none, or where the file is not what it should be."""
    try:
        said = json.loads(figures.read_text(encoding="utf-8"))
        return TypeAdapter(tuple[ClaimVerdict, ...]).validate_python(said.get("verdicts", ()))
    except (OSError, ValueError, AttributeError):
        return ()


def _report_file(ctx: Context, row: ExperimentRow, name: str) -> Path | None:
    """Return a file of a finished experiment's report, if it lies in the workspace itself."""
    folder = ctx.workspace.experiments_dir
    # The name comes from the database, which may be another person's.
    if row.state != "done" or not re.fullmatch(r"[\w-]+", report_name(row.kind, row.identity)):
        return None
    path = folder / report_name(row.kind, row.identity) / name
    is_inside = path.is_file() and path.resolve().is_relative_to(folder.resolve())
    return path if is_inside else None
