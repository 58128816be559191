"""A batch is made once, whatever is lost on the way."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from autointerp.db.queries.batches import SubmittedBatch
from autointerp.errors import AutointerpError
from autointerp.labeling.asking.faults import Fault, FaultKind, ServerFault
from autointerp.stages.label.batch_api import BatchApi

NOW = datetime.now(timezone.utc)


class Lost(Exception):
    """The answer of the server did not come."""


class Server:
    """Files and batches of a server that loses some answers after it did what they are about."""

    def __init__(self, lost=0, old=()):
        self.made, self.lost, self.old, self.waits = [], lost, list(old), []
        self.batches = self
        self.options = SimpleNamespace(attempts=3, longest_wait=10.0)
        self.api = self.server = self

    def create(self, input_file_id, endpoint, completion_window):
        batch = SimpleNamespace(id=f"batch-{len(self.made)}", input_file_id=input_file_id, created_at=NOW.timestamp())
        self.made.append(batch)
        if self.lost:
            self.lost -= 1
            raise Lost
        return batch

    def list(self, limit):
        return [*reversed(self.made), *self.old]

    def retrieve(self, batch):
        return next(one for one in self.made if one.id == batch)

    def translated(self, error):
        lost = isinstance(error, Lost)
        kind = FaultKind.MOMENT if lost else FaultKind.REQUEST
        return ServerFault(Fault(kind, "lost" if lost else str(error), status=0 if lost else 400))


def submitted(batch=None):
    return SubmittedBatch(1, "file", batch, {"a": "label"}, NOW)


def test_a_lost_answer_makes_no_second_batch():
    server = Server(lost=1)
    assert BatchApi(server, server.waits.append).create(submitted()).id == "batch-0"
    assert len(server.made) == 1
    assert len(server.waits) == 1


def test_a_batch_is_found_by_its_id_or_by_its_file_or_made():
    server = Server()
    api = BatchApi(server, server.waits.append)
    made = api.find(submitted())
    assert api.find(submitted()) is made
    assert api.find(submitted(made.id)) is made
    assert len(server.made) == 1


def test_old_batches_are_not_looked_through():
    long_ago = (NOW - timedelta(days=3)).timestamp()
    old = [SimpleNamespace(id=str(i), input_file_id="other" if i else "x", created_at=long_ago) for i in range(2)]
    old.append(SimpleNamespace(id="same file", input_file_id="file", created_at=long_ago))
    server = Server(old=old)
    assert BatchApi(server, server.waits.append).find(submitted()).id == "batch-0"


def test_a_server_that_stays_away_or_refuses_is_one_error():
    server = Server()
    api = BatchApi(server, server.waits.append)

    def lose():
        raise Lost

    def refuse():
        raise ValueError("404 page not found")

    with pytest.raises(AutointerpError, match="cannot reach the Batch API: lost.*run it again"):
        api.call(lose)
    assert len(server.waits) == server.options.attempts - 1
    with pytest.raises(AutointerpError, match="the server takes no batch: 404 page not found"):
        api.call(refuse)
