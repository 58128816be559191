"""Requests are sent as the command asks, and never twice."""

from __future__ import annotations

import pytest

from autointerp.db import models, queries
from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.asking.chat import ChatClient
from autointerp.project.context import Context
from autointerp.project.labelers import LabelerRequest
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.pipeline.asking import RequestSender, remote_client

SERVER = "http://localhost:1/v1"


@pytest.fixture
def ctx(tmp_path):
    return Context(WorkspaceFolder.create(tmp_path / "w"))


def test_only_a_server_has_batches(ctx):
    client = ChatClient("m", SERVER, "NO_KEY")
    assert remote_client(client) is client
    assert remote_client(None) is None
    with pytest.raises(UsageError, match="--batch is for remote models"):
        RequestSender(ctx, LabelerRequest(batch=True), None)


def test_one_by_one_the_work_is_done_once(ctx):
    done = []
    for asker in (None, ChatClient("m", SERVER, "NO_KEY")):
        RequestSender(ctx, LabelerRequest(), asker).run(models.DictionaryRow(id=1), "label", lambda: done.append(1))
    assert done == [1, 1]


def test_requests_in_a_batch_are_not_sent_one_by_one(ctx):
    client = ChatClient("m", SERVER, "NO_KEY")
    config = {"batch": {"model": "m", "base_url": client.base_url, "file": "f"}, "requests": {"a": "label"}}
    with ctx.db.session() as session:
        queries.batches.add(session, models.Run(kind="label", identity="i", config=config))
    with pytest.raises(AutointerpError, match="1 requests to m are under way in a batch"):
        RequestSender(ctx, LabelerRequest(), client)
    # With --batch the command collects them; another model's requests may go at any time.
    RequestSender(ctx, LabelerRequest(batch=True), client)
    RequestSender(ctx, LabelerRequest(), ChatClient("other", SERVER, "NO_KEY"))
