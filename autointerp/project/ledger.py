"""The workspace's ledger of calls to models: every attempt is kept, and no answer is paid for twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from typing_extensions import override

from autointerp.db import DatabaseBusy, queries
from autointerp.db.engine import Database
from autointerp.labeling.asking.ledger import CallRecord, KnownAnswer, Ledger

_PAUSE_SECONDS = 1.0
"""Between two tries to record answers, after the database's own patience has ended."""


class DatabaseLedger(Ledger):
    """The `calls` table as a ledger. An attempt is committed before its answer is used.

    Threads that record at the same time share a commit: one thread writes everything that was handed in while the
    commit before was under way.

    Args:
        db: The workspace's database.
        afresh: Whether answers of no use are forgotten: such an answer counts only if it comes from now on.
    """

    def __init__(self, db: Database, afresh: bool = False) -> None:
        self.db = db
        self._after = 0
        self._lock = threading.Lock()
        self._is_writing = False
        self._pending: list[tuple[Sequence[CallRecord], Future[bool]]] = []
        if afresh:
            with db.session() as session:
                self._after = queries.calls.newest_id(session)

    @override
    def find(self, request_hash: str) -> KnownAnswer | None:
        """Return the newest answer of an earlier call with this request, if one came."""
        with self.db.engine.connect() as connection:
            answer = queries.calls.find_answer(connection, request_hash, self._after)
        return None if answer is None else KnownAnswer(answer.text, answer.error)

    @override
    def forgotten(self, request_hash: str) -> str:
        """Return why an answer from before this command is of no use, where the command asks afresh."""
        if not self._after:
            return ""
        with self.db.engine.connect() as connection:
            answer = queries.calls.find_answer(connection, request_hash)
        return "" if answer is None else answer.error

    @override
    def record(self, calls: Sequence[CallRecord]) -> None:
        """Keep some attempts; return when they are on the disk."""
        # The result says whether this thread is the one that writes.
        turn: Future[bool] = Future()
        with self._lock:
            self._pending.append((calls, turn))
            if not self._is_writing:
                self._is_writing = True
                turn.set_result(True)
        if turn.result():
            self._write_pending(turn)

    def _write_pending(self, turn: Future[bool]) -> None:
        """Write what all threads have handed in, tell them, and give the turn to the first that came meanwhile."""
        with self._lock:
            written, self._pending = self._pending, []
        failure: BaseException | None = None
        try:
            self._store([call for calls, _ in written for call in calls])
        except BaseException as error:
            failure = error
            raise
        finally:
            for _, waiting in written:
                if waiting is not turn:
                    waiting.set_result(False) if failure is None else waiting.set_exception(failure)
            with self._lock:
                if self._pending:
                    self._pending[0][1].set_result(True)
                else:
                    self._is_writing = False

    def _store(self, calls: Sequence[CallRecord]) -> None:
        """Commit calls. Answers that are paid for are never given up while another process holds the database."""
        while True:
            try:
                with self.db.session() as session:
                    queries.calls.record(session, calls)
                return
            except DatabaseBusy as error:
                paid = sum(call.answer is not None for call in calls)
                self.db.on_wait(f"{paid} answers that are paid for wait to be recorded: {error.message}")
                time.sleep(_PAUSE_SECONDS)

    @override
    def reject(self, request_hash: str, error: str) -> None:
        """Note why the newest answer of a request is of no use."""
        with self.db.session() as session:
            queries.calls.reject(session, request_hash, error)
