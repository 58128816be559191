"""Workers: tickets in their order, progress, stops, leashes, and processes that die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.web.workers import worker as workers
from autointerp.web.workers.worker import Ticket, Worker
from tests.web.sites import PLAYING

ENDLESS = {"to": 100_000, "seconds": 0.01}


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path, patience=20, command=PLAYING)
    yield made
    made.close()


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def ended(worker: Worker, ticket: Ticket) -> Ticket:
    until(lambda: worker.find(ticket.id).has_ended)
    return ticket


def runs(ticket: Ticket) -> bool:
    return bool(ticket.progress)


def test_tickets_come_in_their_order_and_one_process_does_them(worker: Worker) -> None:
    assert worker.pid is None
    first, second, third = (worker.submit("count", {"to": n, "seconds": 0.05}) for n in (5, 3, 1))
    assert [worker.place(one) for one in (first, second, third)] == [0, 1, 2]
    ended(worker, third)
    assert [one.state for one in (first, second, third)] == ["done"] * 3
    assert [one.value["tasks"] for one in (first, second, third)] == [1, 2, 3]
    assert {one.value["pid"] for one in (first, second, third)} == {worker.pid}
    assert first.progress == {"what": "count", "done": 5, "total": 5, "unit": "number", "text": "4"}
    assert (first.notes, first.files) == (["counting"], {"0.webp": b"picture"})


def test_a_stop_ends_what_runs_and_what_waits_but_nothing_else(worker: Worker) -> None:
    first, second, third = (worker.submit("count", given) for given in (ENDLESS, ENDLESS, {"to": 1}))
    until(lambda: runs(first))
    worker.stop(second)
    worker.stop(first)
    ended(worker, third)
    assert (first.state, second.state, third.state) == ("stopped", "stopped", "done")
    assert second.progress == {}
    assert third.value["tasks"] == 2, "the process is the same"
    worker.stop(third)
    assert third.state == "done"


def test_stops_at_any_moment_leave_the_process_whole(worker: Worker) -> None:
    for seconds in (0, 0, 0, 0.001, 0.002, 0.005, 0.01, 0.02):
        ticket = worker.submit("count", {"to": 100_000, "seconds": 0.0005})
        until(lambda ticket=ticket: ticket.state == "running")  # type: ignore[misc]
        time.sleep(seconds)
        worker.stop(ticket)
        assert ended(worker, ticket).state == "stopped"
    pid = worker.pid
    assert ended(worker, worker.submit("count", {"to": 1})).value["pid"] == pid


def test_errors_are_of_their_ticket_alone(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    said = ended(worker, worker.submit("fail", {"how": "said"}))
    assert (said.state, said.error, said.hint) == ("failed", "no such thing at /home/me/w/x.db", "try another")
    fault = ended(worker, worker.submit("fail", {"how": "fault"}))
    assert (fault.state, fault.error) == ("failed", "this failed (RuntimeError)")
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert "RuntimeError" in told
    assert "Traceback" not in f"{fault.hint}{fault.value}{fault.notes}"
    unknown = ended(worker, worker.submit("nothing", {}))
    assert "no task 'nothing'" in unknown.error
    assert ended(worker, worker.submit("count", {"to": 1})).state == "done"


def test_a_process_that_is_killed_fails_its_ticket_and_the_next_gets_a_new_one(worker: Worker) -> None:
    itself = worker.submit("fail", {"how": "killed"})
    running = worker.submit("count", ENDLESS)
    behind = worker.submit("count", {"to": 1})
    assert ended(worker, itself).error == "the process that was at it has ended"
    until(lambda: runs(running))
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert ended(worker, running).state == "failed"
    assert ended(worker, behind).value["tasks"] == 1


def test_a_ticket_that_nobody_asks_for_is_stopped(worker: Worker) -> None:
    left = worker.submit("count", ENDLESS, leash=0.5)
    until(lambda: left.has_ended)
    assert left.state == "stopped"
    asked = worker.submit("count", {"to": 100, "seconds": 0.02}, leash=1.5)
    assert ended(worker, asked).state == "done"


def test_a_task_that_takes_no_notice_is_killed_when_patience_ends(tmp_path: Path) -> None:
    worker = Worker(tmp_path, patience=0.2, command=PLAYING)
    ticket = worker.submit("deaf", {"folder": str(tmp_path)})
    until((tmp_path / "begun").exists)
    worker.stop(ticket)
    until(lambda: ticket.has_ended)
    assert ticket.state == "stopped"
    assert ended(worker, worker.submit("count", {"to": 1})).state == "done"
    worker.close()


def test_closing_stops_the_task_and_ends_the_process(worker: Worker) -> None:
    ticket = worker.submit("count", ENDLESS)
    until(lambda: runs(ticket))
    worker.close()
    until(lambda: ticket.has_ended)
    assert ticket.state == "stopped"
    until(lambda: worker.pid is None)


def test_what_is_not_wanted_of_the_environment_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    for without, found in (((), "secret"), (("A_KEY",), "none")):
        worker = Worker(tmp_path, without=without, command=PLAYING)
        assert ended(worker, worker.submit("count", {"to": 1})).value["key"] == found
        worker.close()


def test_the_queue_and_what_is_kept_are_bounded(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_QUEUE", 2)
    monkeypatch.setattr(workers, "_KEPT", 2)
    first = worker.submit("count", ENDLESS)
    until(lambda: first.state == "running")
    others = [worker.submit("count", {"to": 1}) for _ in range(2)]
    with pytest.raises(AutointerpError, match="too much is waiting"):
        worker.submit("count", {"to": 1})
    worker.stop(first)
    ended(worker, others[1])
    worker.submit("count", {"to": 1})
    with pytest.raises(UsageError, match="gone"):
        worker.find(first.id)
    assert worker.find(others[1].id) is others[1]


def test_a_process_that_does_not_start_is_one_line(tmp_path: Path) -> None:
    worker = Worker(tmp_path, command=("no-such-program-at-all",))
    assert "cannot be started" in ended(worker, worker.submit("count", {"to": 1})).error
    worker.close()


def test_a_stop_does_not_come_between_two_hooks_that_are_removed(worker: Worker, tmp_path: Path) -> None:
    ticket = worker.submit("careful", {"folder": str(tmp_path)})
    until((tmp_path / "begun").exists)
    worker.stop(ticket)
    (tmp_path / "asked").write_text("")
    ended(worker, ticket)
    assert (ticket.state, (tmp_path / "put away").exists()) == ("stopped", True)
    assert ended(worker, worker.submit("count", {"to": 1})).value["pid"] == worker.pid


def test_a_process_without_work_ends_and_the_next_ticket_starts_another(tmp_path: Path) -> None:
    worker = Worker(tmp_path, command=PLAYING, idle=0.3)
    first = ended(worker, worker.submit("count", {"to": 1}))
    until(lambda: worker.pid is None)
    assert worker.find(first.id).state == "done"
    second = worker.submit("count", {"to": 60, "seconds": 0.02})
    # Work that takes longer than that is no rest.
    assert ended(worker, second).state == "done"
    assert second.value["tasks"] == 1
    assert second.value["pid"] != first.value["pid"]
    worker.close()
