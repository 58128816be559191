"""Queries of base rates: how often a name holds in random cells of a layer, by one judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from autointerp.db.models import StoredBaseRate


@dataclass(frozen=True)
class BaseRateKey:
    """What base rates belong to: a dictionary's layer, a judge, and the cells that the judge was shown."""

    dictionary_id: int
    judge_id: int
    cells_hash: str


class Answers(NamedTuple):
    """Cells in which a name holds, and cells in which it does not."""

    yes: int
    no: int


def of_names(session: Session, key: BaseRateKey) -> dict[str, Answers]:
    """Return the answers for each name that was asked about."""
    table = StoredBaseRate
    query = select(table.name, table.yes, table.no).where(
        table.dictionary_id == key.dictionary_id, table.judge_id == key.judge_id, table.cells_hash == key.cells_hash
    )
    return {name: Answers(yes, no) for name, yes, no in session.execute(query)}


def add(session: Session, key: BaseRateKey, name: str, answers: Answers) -> None:
    """Store the answers for a name, unless they are stored already."""
    if name not in of_names(session, key):
        session.add(
            StoredBaseRate(
                dictionary_id=key.dictionary_id,
                judge_id=key.judge_id,
                cells_hash=key.cells_hash,
                name=name,
                yes=answers.yes,
                no=answers.no,
            )
        )
        session.flush()
