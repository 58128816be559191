"""The rows of one dictionary, read out of one database and stored in another, as a bundle carries them.

Columns are read off the models, so that a new column is carried without a change here. Rows get new ids in the target.
An image, labeler or run that the target has already, told by its hashes, is used again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import JSON, BigInteger, Boolean, DateTime, Float, Integer, LargeBinary, Select, bindparam, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from autointerp.db.base import Base, UtcDateTime
from autointerp.db.models import (
    CellRow,
    Crop,
    DictionaryRow,
    Feature,
    Image,
    Judgement,
    Label,
    LabelerRow,
    Run,
    Score,
    StoredBaseRate,
)
from autointerp.db.queries import bulk
from autointerp.db.queries.words import prompts_indexed_once

ColumnType = Literal["int", "float", "text", "bool", "bytes", "json", "time"]
CarriedRow = dict[str, Any]
"""Column -> value, of any type that a column holds."""

CARRIED: tuple[type[Base], ...] = (
    *(DictionaryRow, LabelerRow, Image, Feature, Crop, Label, Score, Judgement, Run),
    *(StoredBaseRate, CellRow),
)
"""The tables that are carried, each after those that it refers to.

Calls stay behind because they are a ledger of the machine that paid for them, indexes because they can be made again.
Experiments stay too: one may be about several dictionaries, and its report is a file of its own.
"""
_NAMES = {model.__tablename__ for model in CARRIED}
_KEYS: dict[str, tuple[str, ...]] = {
    "images": ("generation_hash",),
    "labelers": ("kind", "model", "base_url", "prompt_hash", "config_hash"),
    "runs": ("identity",),
}
"""The columns by which a row of the target is the same as a carried one."""
_TYPES: tuple[tuple[tuple[type, ...], ColumnType], ...] = (
    ((Integer, BigInteger), "int"),
    ((Boolean,), "bool"),
    ((Float,), "float"),
    ((LargeBinary,), "bytes"),
    ((JSON,), "json"),
    ((DateTime, UtcDateTime), "time"),
)


class InconsistentRows(ValueError):
    """Carried rows that break a constraint of the target; the text is the database's first line about it."""


@dataclass(frozen=True)
class CarriedColumn:
    """A column as it is carried: its type, whether a value may be missing, and the table whose ids it holds, if any."""

    name: str
    type: ColumnType
    null: bool
    refers: str | None


@dataclass(frozen=True)
class CarriedTable:
    """The rows of one table that belong to a dictionary; they are read from the database as they are iterated, once."""

    name: str
    columns: tuple[CarriedColumn, ...]
    rows: Iterable[CarriedRow]


def _columns_of(model: type[Base]) -> tuple[CarriedColumn, ...]:
    """Return a table's columns, without those that refer to a table that stays behind."""
    found = []
    for column in model.__table__.columns:
        refers = next((key.column.table.name for key in column.foreign_keys), None)
        if refers is not None and (refers not in _NAMES or refers == model.__tablename__):
            continue
        kind: ColumnType = next((word for types, word in _TYPES if isinstance(column.type, types)), "text")
        found.append(CarriedColumn(column.name, kind, bool(column.nullable), refers))
    return tuple(found)


COLUMNS: dict[str, tuple[CarriedColumn, ...]] = {model.__tablename__: _columns_of(model) for model in CARRIED}
"""Table -> its columns, in the order of `CARRIED`."""


def tables_of(session: Session, dictionary_id: int, labels: Collection[int] | None = None) -> Iterator[CarriedTable]:
    """Yield the tables with the rows of a dictionary and of all under it, in the order of their ids.

    Args:
        session: A session that stays open while the rows are read.
        dictionary_id: The dictionary.
        labels: Ids of the labels to carry, with their scores; None carries all.
    """
    features = select(Feature.id).where(Feature.dictionary_id == dictionary_id)
    crops = select(Crop.id).where(Crop.feature_id.in_(features))
    carried = select(Label.id).where(Label.feature_id.in_(features))
    if labels is not None:
        # The ids are written into the statement, because databases take a limited number of parameters.
        carried = carried.where(Label.id.in_(bindparam("labels", list(labels), expanding=True, literal_execute=True)))
    scores = select(Score.id).where(Score.label_id.in_(carried))
    naming = select(Label.labeler_id).where(Label.id.in_(carried))
    judging = select(Score.judge_id).where(Score.id.in_(scores), Score.judge_id.is_not(None))
    wanted: dict[type[Base], Any] = {
        DictionaryRow: DictionaryRow.id == dictionary_id,
        LabelerRow: LabelerRow.id.in_(naming.union(judging)),
        Image: Image.id.in_(select(Crop.image_id).where(Crop.id.in_(crops)))
        | Image.id.in_(select(CellRow.image_id).where(CellRow.dictionary_id == dictionary_id)),
        Feature: Feature.dictionary_id == dictionary_id,
        Crop: Crop.feature_id.in_(features),
        Label: Label.id.in_(carried),
        Score: Score.id.in_(scores),
        Judgement: Judgement.score_id.in_(scores),
        # A judge whose scores stay behind stays behind too.
        StoredBaseRate: (StoredBaseRate.dictionary_id == dictionary_id) & StoredBaseRate.judge_id.in_(judging),
        CellRow: CellRow.dictionary_id == dictionary_id,
        Run: (Run.dictionary_id == dictionary_id) & (Run.status == "done") & (Run.kind != "index"),
    }
    for model in CARRIED:
        table, columns = model.__table__, COLUMNS[model.__tablename__]
        query = select(*(table.c[column.name] for column in columns)).where(wanted[model])
        yield CarriedTable(table.name, columns, _streamed(session, query.order_by(table.c.id)))  # type: ignore[attr-defined]


def _streamed(session: Session, query: Select[Any]) -> Iterator[CarriedRow]:
    for row in session.execute(query.execution_options(yield_per=500)).mappings():
        yield dict(row)


def restore(session: Session, read: Callable[[str], Iterator[list[CarriedRow]]], name: str) -> int:
    """Store carried rows in the caller's transaction; return the dictionary's new id.

    Args:
        session: A session of a database that no other process writes to meanwhile.
        read: Yields the rows of the table of a name, a few at a time. References between rows were checked.
        name: The dictionary's name in the target.

    Raises:
        InconsistentRows: A row breaks a constraint of the database.
    """
    restored: list[int] = []
    try:
        with prompts_indexed_once(session, restored):
            new_ids: dict[str, dict[int, int]] = {}
            for model in CARRIED:
                new_ids[model.__tablename__] = _restore_table(session, model, read, new_ids, name)
            restored += new_ids["dictionaries"].values()
    except IntegrityError as error:
        raise InconsistentRows(str(error.orig).splitlines()[0]) from error
    return restored[0]


def _restore_table(
    session: Session,
    model: type[Base],
    read: Callable[[str], Iterator[list[CarriedRow]]],
    new_ids: Mapping[str, Mapping[int, int]],
    name: str,
) -> dict[int, int]:
    """Store the rows of one table; return each row's id in the bundle with its id in the target."""
    table = model.__tablename__
    references = [column for column in COLUMNS[table] if column.refers]
    ids: dict[int, int] = {}
    following = (session.scalar(select(func.max(model.__table__.c.id))) or 0) + 1
    for part in read(table):
        known = _known_ids(session, model, part)
        new = []
        for row in part:
            there = known.get(_key_of(table, row))
            if there is not None:
                ids[row["id"]] = there
                continue
            ids[row["id"]] = following
            moved = {c.name: new_ids[c.refers or ""][row[c.name]] for c in references if row.get(c.name)}
            named = {"name": name} if model is DictionaryRow else {}
            new.append({**row, **moved, **named, "id": following})
            following += 1
        bulk.insert_many(session, model, new)
    bulk.set_sequence(session.connection(), Base.metadata.tables[table])
    return ids


def _key_of(table: str, row: CarriedRow) -> tuple[Any, ...]:
    """Return the values by which a row would be the same as one in the target; empty for tables without a key."""
    return tuple(row[column] for column in _KEYS.get(table, ()))


def _known_ids(session: Session, model: type[Base], rows: list[CarriedRow]) -> dict[tuple[Any, ...], int]:
    """Return the keys of those rows that are in the database already, with their ids there."""
    keys = _KEYS.get(model.__tablename__)
    if keys is None:
        return {}
    columns = model.__table__.c
    found: dict[tuple[Any, ...], int] = {}
    for start in range(0, len(rows), bulk.CHUNK):
        values = {row[keys[-1]] for row in rows[start : start + bulk.CHUNK]}
        query = select(columns.id, *(columns[key] for key in keys)).where(columns[keys[-1]].in_(values))
        found.update({tuple(key): row_id for row_id, *key in session.execute(query)})
    return found
