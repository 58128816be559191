"""`label --batch` and `score --batch` against a stub of the endpoints of files and batches."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stages.label.batch_runs import FEATURES, statuses, submitted

Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


class Killed(BaseException):
    """What nothing catches, as a kill: the process is gone, the database is as it is."""


def paid_once(query: Query, workspace: Path, server: Any) -> None:
    answers = query(workspace, "SELECT request_hash FROM calls WHERE answer IS NOT NULL")
    assert len(answers) == len(set(answers))
    assert len(submitted(server)) == len(set(submitted(server)))


def test_a_batch_costs_half(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    done = label("--batch")
    assert done.code == 0, done.err
    assert statuses(query, workspace) == ["ok"] * FEATURES
    # The first request is asked at once; what it shows of key, model and form holds for the others.
    assert len(vlm_server.requests) == 1
    assert len(submitted(vlm_server)) == FEATURES - 1
    costs = sorted(row[0] for row in query(workspace, "SELECT cost FROM calls"))
    whole = 1000 * 0.15e-6 + 50 * 0.6e-6
    assert costs == pytest.approx([whole / 2] * (FEATURES - 1) + [whole])
    assert query(workspace, "SELECT kind, status, done, total FROM runs WHERE kind = 'label'") == [
        ("label", "done", FEATURES - 1, FEATURES - 1)
    ]
    assert label("--batch").code == 0
    assert len(vlm_server.batches.made) == 1
    paid_once(query, workspace, vlm_server)


def test_scores_go_in_batches_too(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    done = label("--batch", command=("label", "-n", 3))
    assert done.code == 0, done.err
    scored = "SELECT count(*) FROM scores WHERE method = 'gain'"
    assert query(workspace, scored) == [(3,)]
    assert len(vlm_server.requests) == 1
    done = label("--batch", command=("score", "--method", "shabalin"))
    assert done.code == 3
    assert "no readable answer" in done.err
    assert len(vlm_server.requests) < 10
    paid_once(query, workspace, vlm_server)


def test_large_ones_are_split(
    workspace: Path, label: Cli, vlm_server: Any, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.stages.label import request_files

    monkeypatch.setattr(request_files, "MOST_REQUESTS", 2)
    assert label("--batch").code == 0
    assert [len(vlm_server.batches.lines(b)) for b in vlm_server.batches.made] == [2, 2, 1]
    assert statuses(query, workspace) == ["ok"] * FEATURES


@pytest.mark.parametrize("at", ["upload", "create", "created", "look", "content"])
def test_a_kill_at_any_point_loses_and_repeats_nothing(
    workspace: Path, label: Cli, vlm_server: Any, query: Query, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.stages.label.batch_api import BatchApi

    # Where the answer to a request of the API would come, the process ends.
    def fault(what: str) -> Any:
        if what == at:
            killed.append(what)
        return None

    killed: list[str] = []
    vlm_server.batches.fault = fault
    call = BatchApi.call

    def killing(self: BatchApi, ask: Callable[[], Any]) -> Any:
        found = call(self, ask)
        if killed:
            raise Killed
        return found

    monkeypatch.setattr(BatchApi, "call", killing)
    with pytest.raises(Killed):
        label("--batch")
    assert killed
    assert not query(
        workspace,
        "SELECT 1 FROM labels l JOIN labelers r ON r.id = l.labeler_id WHERE r.kind = 'vlm' AND l.status = 'failed'",
    )
    monkeypatch.setattr(BatchApi, "call", call)
    vlm_server.batches.fault = lambda what: None
    if at != "upload":
        # One by one they would be paid for again.
        refused = label()
        assert refused.code == 1
        assert "under way in a batch" in refused.err
        assert "--batch" in refused.err
    done = label("--batch")
    assert done.code == 0, done.err
    assert statuses(query, workspace) == ["ok"] * FEATURES
    assert len(vlm_server.batches.made) == 1
    # Whoever makes a batch asks one request at once before it.
    assert len(vlm_server.requests) == (2 if at == "upload" else 1)
    paid_once(query, workspace, vlm_server)


def test_interrupted_while_it_waits(
    workspace: Path, label: Cli, vlm_server: Any, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.stages.label import batches as batch

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    vlm_server.batches.looks = 3
    monkeypatch.setattr(batch.time, "sleep", interrupt)
    stopped = label("--batch")
    assert stopped.code == 130
    assert "interrupted" in stopped.err
    monkeypatch.undo()
    monkeypatch.setattr(batch, "POLL_SECONDS", (0.0, 0.0))
    assert label("--batch").code == 0
    assert len(vlm_server.batches.made) == 1
    assert statuses(query, workspace) == ["ok"] * FEATURES


def test_an_answer_that_was_lost_on_the_way_makes_no_second_batch(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    faults = ["created", "look", "content", "upload"]

    def fault(what: str) -> Any:
        if what in faults:
            faults.remove(what)
            return scripted.Reply("", drop=True)
        return None

    vlm_server.batches.fault = fault
    done = label("--batch")
    assert done.code == 0, done.err
    assert not faults, done.err
    assert len(vlm_server.batches.made) == 1
    assert statuses(query, workspace) == ["ok"] * FEATURES


def test_an_expired_batch_keeps_what_came(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    vlm_server.batches.ends, vlm_server.batches.answers_of = "expired", 0.6
    done = label("--batch")
    assert done.code == 3
    assert re.search(r"batch batch_0 expired with 3 of 5 answered: run it again", done.err)
    assert statuses(query, workspace) == ["ok"] * 4
    vlm_server.batches.ends, vlm_server.batches.answers_of = "completed", 1.0
    assert label("--batch").code == 0
    assert statuses(query, workspace) == ["ok"] * FEATURES
    answers = query(workspace, "SELECT request_hash FROM calls WHERE answer IS NOT NULL")
    assert len(answers) == len(set(answers)) == FEATURES


def test_a_batch_that_is_not_accepted_is_one_line(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    vlm_server.batches.ends = "failed"
    done = label("--batch")
    assert done.code == 1
    assert "batch batch_0 was not accepted: the file is no good" in done.err
    assert "Traceback" not in done.err
    assert not any("failed" in one for one in statuses(query, workspace))
    vlm_server.batches.ends = "completed"
    assert label("--batch").code == 0
    assert statuses(query, workspace) == ["ok"] * FEATURES


def test_a_server_without_batches_and_a_labeler_without_requests(
    label: Cli, vlm_server: Any, scripted: Any, cli: Cli, workspace: Path
) -> None:
    vlm_server.batches.fault = lambda what: scripted.Reply("no such path", 404) if what == "upload" else None
    done = label("--batch")
    assert done.code == 1
    assert "404" in done.err
    assert done.err.rstrip().splitlines()[-1].startswith("error: ")
    local = cli("-w", workspace, "label", "--layer", "mid", "--labeler", "clip", "--batch")
    assert local.code == 2
    assert "--batch is for remote models" in local.err


def test_a_budget_holds_in_batches(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    done = label("--batch", "--max-calls", 4)
    assert done.code == 3
    assert "4 calls" in done.err
    assert statuses(query, workspace) == ["ok"] * 4
    assert len(submitted(vlm_server)) == 3


def test_the_plan_of_a_batch_is_half_as_dear(label: Cli, vlm_server: Any) -> None:
    plans = [label("--dry-run", *more).out for more in ((), ("--batch",))]
    one, half = (float(re.findall(r"\$([\d.]+)", plan)[0]) for plan in plans)
    assert half == pytest.approx(one / 2, abs=0.011)
    assert "in batches" in plans[1]
    assert not vlm_server.requests
    assert re.search(r"6 features by gpt-4o-mini, 6 calls, 138 pictures, about \d+ tokens, \$", plans[0])


def running(query: Query, workspace: Path) -> list[tuple[str, str]]:
    """Status and error of every run of a batch."""
    return [tuple(row) for row in query(workspace, "SELECT status, error FROM runs WHERE kind = 'label' ORDER BY id")]


def stopped_while_it_waits(label: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Submit a batch, and end the process while it is looked at."""
    from autointerp.stages.label.batches import Batches

    with monkeypatch.context() as patch:

        def wait(*_: object) -> None:
            raise Killed

        patch.setattr(Batches, "_wait_for", wait)
        with pytest.raises(Killed):
            label("--batch")


@pytest.mark.parametrize("way", ["batch", "results", "file"])
def test_what_is_gone_is_closed_and_asked_again(
    workspace: Path,
    label: Cli,
    vlm_server: Any,
    scripted: Any,
    query: Query,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = vlm_server.batches
    if way == "file":
        # The process ended before the batch was made, and the uploaded file was deleted since.
        batches.fault = lambda what: scripted.Reply("", drop=True) if what == "create" else None
        assert label("--batch").code == 1
        batches.fault = lambda what: scripted.Reply("Invalid file id", 400) if what == "create" else None
    else:
        stopped_while_it_waits(label, monkeypatch)
        if way == "batch":
            batches.made.clear()
        else:
            batches.fault = lambda what: scripted.Reply("No such File object", 404) if what == "content" else None
    assert [status for status, _ in running(query, workspace)] == ["running"]
    done = label("--batch")
    assert done.code == (1 if way == "file" else 3), done.err
    said = {"batch": r"batch_0 is gone from the server \(404\); it is closed", "results": "0 of 5 are there"}
    assert re.search(said.get(way, "Invalid file id"), done.err), done.err
    ((status, error),) = running(query, workspace)
    assert status == "failed"
    assert error
    batches.fault = lambda what: None
    assert label("--batch").code == 0
    assert statuses(query, workspace) == ["ok"] * FEATURES
    assert [status for status, _ in running(query, workspace)] == ["failed", "done"]


def test_a_closed_batch_does_not_stand_in_the_way(
    workspace: Path, label: Cli, vlm_server: Any, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from autointerp.stages.label import batches

    stopped_while_it_waits(label, monkeypatch)
    assert label().code == 1
    monkeypatch.setattr(batches, "LOST_AFTER", timedelta(0))
    assert label().code == 0
    assert [status for status, _ in running(query, workspace)] == ["failed"]
    assert statuses(query, workspace) == ["ok"] * FEATURES


def test_a_status_that_is_not_known_is_an_end(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    vlm_server.batches.ends = "timeout_exceeded"
    done = label("--batch")
    assert done.code == 3
    assert "batch_0 timeout_exceeded with 5 of 5 answered" in done.err
    assert statuses(query, workspace) == ["ok"] * FEATURES
