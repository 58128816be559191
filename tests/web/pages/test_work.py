"""Tickets as pages are told of them."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from autointerp.web.workers.worker import Ticket, Worker
from tests.web.sites import HERE, NAME, PLAYING, client_of, site_of

ORIGIN = {"origin": HERE}


@pytest.fixture
def site(labeled: Path) -> Any:
    made = site_of(labeled)
    made.__dict__["painter"] = Worker(labeled, patience=20, command=PLAYING)
    made.__dict__["clerk"] = Worker(labeled, command=PLAYING)
    yield made
    made.close()


def ended(client: Any, ticket: str) -> dict[str, Any]:
    for _ in range(6000):
        line: dict[str, Any] = client.get(f"/api/work/{ticket}").json()
        if line["state"] in ("done", "stopped", "failed"):
            return line
        time.sleep(0.01)
    raise AssertionError(line)


def test_a_ticket_of_either_worker_is_followed_to_its_file(site: Any) -> None:
    client = client_of(site)
    for worker in (site.painter, site.clerk):
        ticket = worker.submit("count", {"to": 2})
        line = ended(client, ticket.id)
        assert (line["state"], line["files"], line["before"]) == ("done", ["0.webp"], 0)
        assert line["progress"]["done"] == 2
        answer = client.get(f"/made/{ticket.id}/0.webp")
        assert (answer.content, answer.headers["content-type"]) == (b"picture", "image/webp")
        assert client.get(f"/made/{ticket.id}/1.webp").status_code == 404
        assert client.get(f"/made/{ticket.id}/..%2f0.webp").status_code == 404


def test_a_ticket_that_ends_while_its_line_is_read_is_not_done_with_old_progress(site: Any) -> None:
    class EndsMeanwhile(Ticket):
        @override
        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if name == "progress" and self.state == "running":
                self.progress, self.value, self.state = {"done": 2}, {"said": 2}, "done"
            return value

    ticket = EndsMeanwhile("1", "count", {}, state="running", progress={"done": 0})
    line = site.ticket_line(site.painter, ticket)
    assert (line["state"], line["progress"], line["value"]) == ("running", {"done": 0}, None)
    line = site.ticket_line(site.painter, ticket)
    assert (line["state"], line["progress"], line["value"]) == ("done", {"done": 2}, {"said": 2})


def test_a_ticket_is_stopped_from_its_own_pages_alone(site: Any) -> None:
    client = client_of(site)
    ticket = site.painter.submit("count", {"to": 100_000, "seconds": 0.01})
    stop = f"/api/work/{ticket.id}/stop"
    for headers in ({}, {"origin": "http://evil.example"}, {**ORIGIN, "host": "evil.example"}):
        assert client.post(stop, headers=headers).status_code in (400, 403)
    assert ticket.state in ("waiting", "running")
    assert client.post(stop, headers=ORIGIN).status_code == 200
    assert ended(client, ticket.id)["state"] == "stopped"


def test_an_error_is_told_without_paths_and_a_ticket_that_is_gone_is_one_line(site: Any) -> None:
    client = client_of(site)
    line = ended(client, site.painter.submit("fail", {"how": "said"}).id)
    assert (line["state"], line["error"], line["hint"]) == ("failed", "no such thing at x.db", "try another")
    line = ended(client, site.painter.submit("fail", {"how": "killed"}).id)
    assert line["error"] == "the process that was at it has ended"
    assert client.get("/features").status_code == 200
    gone = client.get("/api/work/" + "a" * 32)
    assert (gone.status_code, gone.json()["error"]) == (404, "this work is gone")


def test_twenty_readers_at_once_do_not_wait_for_a_picture(site: Any, start: Callable[..., str]) -> None:
    base = start(site.ctx.workspace.path, site)
    ticket = site.painter.submit("paint", {})
    paths = ["/api/features?sort=doubt", "/features", f"/feature/{NAME}:3", "/api/status", "/"]

    def read(number: int) -> int:
        with urllib.request.urlopen(base + paths[number % len(paths)], timeout=120) as answer:
            answer.read()
            return int(answer.status)

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(read, range(60))) == [200] * 60
    # The picture has no end, so that nobody can have waited for it.
    assert ticket.state == "running"
    until = time.monotonic() + 60
    while site.painter.pid is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(site.painter.pid, signal.SIGKILL)
    while not ticket.has_ended:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert (ticket.state, read(0)) == ("failed", 200)
