"""Damage that is planted in a workspace, and what one check says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from sqlalchemy import text

from autointerp.crops.maps import encode_map
from autointerp.progress import NullProgress
from autointerp.project.context import Context

NAME = "shapes-turbo.mid.topk"
TOP = "(SELECT min(id) FROM crops WHERE role = 'top')"
NEGATIVE = "(SELECT min(id) FROM crops WHERE role = 'negative')"
IMAGE = "(SELECT min(id) FROM images)"
LABEL = "(SELECT min(id) FROM labels WHERE status = 'ok')"
HARVEST = "(SELECT min(id) FROM runs WHERE kind = 'harvest')"
VALUES = {"bytes": b"\x00\x01nothing", "map": encode_map(np.ones((12, 24), np.float32))}
Check = Callable[[Any, Any], Iterator[str]]


class _OneSession:
    """A database that gives out one open session, so that damage is seen that is not committed."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @contextmanager
    def session(self) -> Iterator[Any]:
        yield self._session
        self._session.expire_all()


def lines_of(ctx: Any, *checks: Check) -> list[str]:
    """What some checks say of a workspace."""
    with NullProgress().task("check", 0) as bar:
        return [line for check in checks for line in check(ctx, bar)]


def assert_each_is_seen(ctx: Any, damage: Mapping[str, tuple[str, str]], *checks: Check) -> None:
    """Plant each damage (a statement, and a part of the line that names it), and undo it again."""
    with ctx.db.session() as session:
        connection = session.connection()
        other = Context(ctx.workspace)
        ctx.workspace.__dict__["db"], own = _OneSession(session), ctx.workspace.__dict__["db"]
        try:
            for kind, (statement, line) in damage.items():
                point = connection.begin_nested()
                given = {name: value for name, value in VALUES.items() if f":{name}" in statement}
                assert connection.execute(text(statement), given).rowcount > 0, kind
                found = lines_of(other, *checks)
                assert any(line in problem for problem in found), (kind, found)
                assert all("\n" not in problem and len(problem) < 250 for problem in found)
                point.rollback()
        finally:
            ctx.workspace.__dict__["db"] = own
    assert lines_of(ctx, *checks) == []
