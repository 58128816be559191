"""Queries of experiments and of what was measured of their units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from autointerp.db.base import now
from autointerp.db.models import ExperimentRow, ExperimentUnit, RunStatus
from autointerp.db.queries import bulk


@dataclass(frozen=True)
class PlannedExperiment:
    """An experiment: its kind, the hash of what decides its figures, what that is the hash of, and its units in all."""

    kind: str
    identity: str
    model: str
    revision: str | None
    configuration: dict[str, Any]
    total: int


def by_identity(session: Session, identity: str) -> ExperimentRow | None:
    """Return the experiment of an identity, whatever became of it; None where there is none."""
    return session.scalar(select(ExperimentRow).where(ExperimentRow.identity == identity))


def list_all(session: Session, kind: str | None = None) -> list[ExperimentRow]:
    """Return all experiments, or those of a kind, newest first."""
    query = select(ExperimentRow).order_by(ExperimentRow.id.desc())
    return list(session.scalars(query if kind is None else query.where(ExperimentRow.kind == kind)))


def begin(session: Session, work: PlannedExperiment) -> int:
    """Return the id of this experiment, new or as it was stopped, with the state `running`."""
    row = by_identity(session, work.identity)
    if row is None:
        row = ExperimentRow(
            kind=work.kind,
            identity=work.identity,
            model=work.model,
            revision=work.revision,
            configuration=work.configuration,
        )
        session.add(row)
    row.state, row.error, row.total = "running", "", work.total
    session.flush()
    return row.id


def keep(session: Session, experiment_id: int, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Store what was measured of units, by their keys."""
    rows = [{"experiment_id": experiment_id, "key": key, "result": dict(result)} for key, result in results.items()]
    bulk.insert_many(session, ExperimentUnit, rows)


def keys(session: Session, experiment_id: int) -> set[str]:
    """Return the keys of the units that were measured."""
    return set(session.scalars(select(ExperimentUnit.key).where(ExperimentUnit.experiment_id == experiment_id)))


def unit_counts(session: Session) -> dict[int, int]:
    """Return how many units of each experiment were measured, by the experiment's id."""
    query = select(ExperimentUnit.experiment_id, func.count()).group_by(ExperimentUnit.experiment_id)
    return {row[0]: row[1] for row in session.execute(query)}


def results(session: Session, experiment_id: int) -> dict[str, dict[str, Any]]:
    """Return what was measured of each unit, by its key, in the order of the keys."""
    query = select(ExperimentUnit.key, ExperimentUnit.result).where(ExperimentUnit.experiment_id == experiment_id)
    return {row.key: row.result for row in sorted(session.execute(query), key=lambda row: row.key)}


def finish(session: Session, experiment_id: int, figures: Sequence[Mapping[str, Any]]) -> None:
    """Store the figures of an experiment, and mark it done."""
    row = session.get_one(ExperimentRow, experiment_id)
    row.figures, row.state, row.error = [dict(figure) for figure in figures], "done", ""
    row.finished_at = now()


def stop(session: Session, experiment_id: int, state: RunStatus, error: str) -> None:
    """Record how an experiment stopped, unless it is done."""
    row = session.get(ExperimentRow, experiment_id)
    if row is not None and row.state == "running":
        row.state, row.error = state, error
