"""All SQL above the tables' own: a module a table or theme, read as `queries.labels.best(session, ...)`.

Every function takes an open session. Large results are Core rows, not objects (ORM reads are nine times slower),
and bulk inserts are Core `executemany` (ORM `add_all` is twenty times slower).
"""

from autointerp.db.queries import (
    base_rates,
    batches,
    bulk,
    calls,
    carrying,
    catalog,
    cells,
    checkpoints,
    checks,
    compared,
    crops,
    dictionaries,
    experiments,
    features,
    images,
    indexes,
    labelers,
    labels,
    runs,
    scores,
    words,
)

__all__ = [
    "base_rates",
    "batches",
    "bulk",
    "calls",
    "carrying",
    "catalog",
    "cells",
    "checkpoints",
    "checks",
    "compared",
    "crops",
    "dictionaries",
    "experiments",
    "features",
    "images",
    "indexes",
    "labelers",
    "labels",
    "runs",
    "scores",
    "words",
]
