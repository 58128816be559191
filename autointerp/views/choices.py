"""What pages offer to choose from: of lists layers, dictionaries, labelers and steps; of jobs kinds and scores."""

from __future__ import annotations

from dataclasses import dataclass

from autointerp.db import queries
from autointerp.labeling.asking import VLMS
from autointerp.labeling.judging import SCORES
from autointerp.labeling.labelers import AUTOMATIC
from autointerp.project.context import Context
from autointerp.project.labeler_names import labeler_names


@dataclass(frozen=True)
class ListChoices:
    """The names that the filters of a list offer, each once."""

    layers: tuple[str, ...]
    dictionaries: tuple[str, ...]
    labelers: tuple[str, ...]
    steps: tuple[str, ...]


def read_choices(ctx: Context) -> ListChoices:
    """Read what the workspace's dictionaries and labels let a reader choose from."""
    with ctx.db.session() as session:
        rows = queries.dictionaries.list_all(session)
        return ListChoices(
            layers=tuple(dict.fromkeys(row.layer for row in rows)),
            dictionaries=tuple(row.name for row in rows),
            labelers=tuple(labeler_names(queries.labelers.with_labels(session)).values()),
            steps=tuple(str(step) for step in sorted({step for row in rows for step in row.steps})),
        )


@dataclass(frozen=True)
class JobChoices:
    """What a job can be asked for.

    Attributes:
        labelers: Kinds of labelers that need no person, each with a line of help.
        scores: Scores, each with a line of help.
        judges: Kinds of judges.
        labeler: The labeler that the settings name; `auto` where what fits is taken.
        model: The model that the settings name for a labeler; empty where they name none.
    """

    labelers: dict[str, str]
    scores: dict[str, str]
    judges: tuple[str, ...]
    labeler: str
    model: str


def read_job_choices(ctx: Context) -> JobChoices:
    """Return what a job can be asked for in a workspace."""
    return JobChoices(
        labelers={kind.name: kind.help for kind in AUTOMATIC.values()},
        scores={kind.name: kind.help for kind in SCORES.values()},
        judges=tuple(VLMS),
        labeler=ctx.settings.labeler or "auto",
        model=ctx.settings.vlm or "",
    )
