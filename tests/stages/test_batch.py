"""`label --batch` and `score --batch` against a stub of the endpoints of files and batches."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Query = Callable[..., list[Any]]

FEATURES = 6


class Killed(BaseException):
    """What nothing catches, as a kill: the process is gone, the database is as it is."""


@pytest.fixture
def label(workspace: Path, vlm_server: Any, scripted: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    from autointerp.stages import batch

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(batch, "POLL_SECONDS", (0.0, 0.0))
    vlm_server.script = lambda request, number: scripted.Reply(answer(request, scripted))

    def run(*more: object, command: tuple[object, ...] = ("label", "-n", FEATURES, "--no-score")) -> Any:
        given = ("--labeler", "vlm", "--vlm", "gpt-4o-mini", "--base-url", vlm_server.base_url, "-j", "4")
        return cli("-w", workspace, *command, "--layer", "mid", *given, *more)

    return run


def answer(request: dict[str, Any], scripted: Any) -> str:
    shown = sum(part["type"] == "image_url" for part in request["messages"][1]["content"])
    if "answers" in json.dumps(request["response_format"]):
        return json.dumps({"answers": [True] * shown})
    return str(scripted.label_json(f"{shown} things"))


def statuses(query: Query, workspace: Path) -> list[str]:
    rows = query(
        workspace,
        "SELECT l.status, l.error FROM labels l JOIN labelers r ON r.id = l.labeler_id WHERE r.kind = 'vlm'"
        " ORDER BY l.feature_id",
    )
    return [f"{status} {error}".strip() for status, error in rows]


def submitted(server: Any) -> list[str]:
    """Every request that was ever in a batch."""
    return [line["custom_id"] for batch in server.batches.made for line in server.batches.lines(batch)]


def paid_once(query: Query, workspace: Path, server: Any) -> None:
    answers = query(workspace, "SELECT request_hash FROM calls WHERE answer IS NOT NULL")
    assert len(answers) == len(set(answers)) and len(submitted(server)) == len(set(submitted(server)))


def test_a_batch_costs_half(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    done = label("--batch")
    assert done.code == 0, done.err
    assert statuses(query, workspace) == ["ok"] * FEATURES
    # The first request is asked at once; what it shows of key, model and form holds for the others.
    assert len(vlm_server.requests) == 1 and len(submitted(vlm_server)) == FEATURES - 1
    costs = sorted(row[0] for row in query(workspace, "SELECT cost FROM calls"))
    whole = 1000 * 0.15e-6 + 50 * 0.6e-6
    assert costs == pytest.approx([whole / 2] * (FEATURES - 1) + [whole])
    assert query(workspace, "SELECT kind, status, done, total FROM runs WHERE kind = 'label'") == [
        ("label", "done", FEATURES - 1, FEATURES - 1)
    ]
    assert label("--batch").code == 0 and len(vlm_server.batches.made) == 1
    paid_once(query, workspace, vlm_server)


def test_scores_go_in_batches_too(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    done = label("--batch", command=("label", "-n", 3))
    assert done.code == 0, done.err
    scored = "SELECT count(*) FROM scores WHERE method = 'detection'"
    assert query(workspace, scored) == [(3,)] and len(vlm_server.requests) == 1
    done = label("--batch", command=("score", "--method", "shabalin"))
    assert done.code == 3 and "no readable answer" in done.err  # this server answers nothing but yes
    assert len(vlm_server.requests) < 10
    paid_once(query, workspace, vlm_server)


def test_large_ones_are_split(
    workspace: Path, label: Cli, vlm_server: Any, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.stages import batch

    monkeypatch.setattr(batch, "MOST_REQUESTS", 2)
    assert label("--batch").code == 0
    assert [len(vlm_server.batches.lines(b)) for b in vlm_server.batches.made] == [2, 2, 1]
    assert statuses(query, workspace) == ["ok"] * FEATURES


@pytest.mark.parametrize("at", ["upload", "create", "created", "look", "content"])
def test_a_kill_at_any_point_loses_and_repeats_nothing(
    workspace: Path, label: Cli, vlm_server: Any, query: Query, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.stages.batch import Batches

    # Where the answer to a request of the API would come, the process ends.
    def fault(what: str) -> Any:
        if what == at:
            killed.append(what)
        return None

    killed: list[str] = []
    vlm_server.batches.fault = fault
    call = Batches._call

    def killing(self: Batches, ask: Callable[[], Any]) -> Any:
        found = call(self, ask)
        if killed:
            raise Killed
        return found

    monkeypatch.setattr(Batches, "_call", killing)
    with pytest.raises(Killed):
        label("--batch")
    assert killed and not query(
        workspace,
        "SELECT 1 FROM labels l JOIN labelers r ON r.id = l.labeler_id WHERE r.kind = 'vlm' AND l.status = 'failed'",
    )
    monkeypatch.setattr(Batches, "_call", call)
    vlm_server.batches.fault = lambda what: None
    if at != "upload":
        # One by one they would be paid for again.
        refused = label()
        assert refused.code == 1 and "under way in a batch" in refused.err and "--batch" in refused.err
    done = label("--batch")
    assert done.code == 0, done.err
    assert statuses(query, workspace) == ["ok"] * FEATURES and len(vlm_server.batches.made) == 1
    # Whoever makes a batch asks one request at once before it.
    assert len(vlm_server.requests) == (2 if at == "upload" else 1)
    paid_once(query, workspace, vlm_server)


def test_interrupted_while_it_waits(
    workspace: Path, label: Cli, vlm_server: Any, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.stages import batch

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    vlm_server.batches.looks = 3
    monkeypatch.setattr(batch.time, "sleep", interrupt)
    stopped = label("--batch")
    assert stopped.code == 130 and "interrupted" in stopped.err
    monkeypatch.undo()
    monkeypatch.setattr(batch, "POLL_SECONDS", (0.0, 0.0))
    assert label("--batch").code == 0 and len(vlm_server.batches.made) == 1
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
    assert done.code == 0 and not faults, done.err
    assert len(vlm_server.batches.made) == 1 and statuses(query, workspace) == ["ok"] * FEATURES


def test_failed_lines_are_failed_features(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    def script(request: dict[str, Any], number: int) -> Any:
        asked = vlm_server.batches.made
        bad = {1: scripted.Reply("no such picture", 400), 2: scripted.Reply("", refusal="I will not")}
        return (
            bad.get(number, scripted.Reply(answer(request, scripted)))
            if asked
            else scripted.Reply(answer(request, scripted))
        )

    vlm_server.script = script
    done = label("--batch")
    assert done.code == 3 and "2 of " in done.err and "--retry-failed" in done.err
    found = statuses(query, workspace)
    assert found.count("ok") == FEATURES - 2
    assert sum("no such picture (in a batch)" in one for one in found) == 1
    assert sum("the model refuses: I will not" in one for one in found) == 1
    vlm_server.script = lambda request, number: scripted.Reply(answer(request, scripted))
    assert label("--batch", "--retry-failed").code == 0
    assert statuses(query, workspace) == ["ok"] * FEATURES


def test_an_expired_batch_keeps_what_came(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    vlm_server.batches.ends, vlm_server.batches.answers_of = "expired", 0.6
    done = label("--batch")
    assert done.code == 3 and re.search(r"batch batch_0 expired with 3 of 5 answered: run it again", done.err)
    assert statuses(query, workspace) == ["ok"] * 4
    vlm_server.batches.ends, vlm_server.batches.answers_of = "completed", 1.0
    assert label("--batch").code == 0 and statuses(query, workspace) == ["ok"] * FEATURES
    answers = query(workspace, "SELECT request_hash FROM calls WHERE answer IS NOT NULL")
    assert len(answers) == len(set(answers)) == FEATURES


def test_a_batch_that_is_not_accepted_is_one_line(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    vlm_server.batches.ends = "failed"
    done = label("--batch")
    assert done.code == 1 and "batch batch_0 was not accepted: the file is no good" in done.err
    assert "Traceback" not in done.err and not any("failed" in one for one in statuses(query, workspace))
    vlm_server.batches.ends = "completed"
    assert label("--batch").code == 0 and statuses(query, workspace) == ["ok"] * FEATURES


def test_a_server_without_batches_and_a_labeler_without_requests(
    label: Cli, vlm_server: Any, scripted: Any, cli: Cli, workspace: Path
) -> None:
    vlm_server.batches.fault = lambda what: scripted.Reply("no such path", 404) if what == "upload" else None
    done = label("--batch")
    assert done.code == 1 and "404" in done.err and done.err.rstrip().splitlines()[-1].startswith("error: ")
    local = cli("-w", workspace, "label", "--layer", "mid", "--labeler", "clip", "--batch")
    assert local.code == 2 and "--batch is for remote models" in local.err


def test_a_budget_holds_in_batches(workspace: Path, label: Cli, vlm_server: Any, query: Query) -> None:
    done = label("--batch", "--max-calls", 4)
    assert done.code == 3 and "4 calls" in done.err
    assert statuses(query, workspace) == ["ok"] * 4 and len(submitted(vlm_server)) == 3


def test_the_plan_of_a_batch_is_half_as_dear(label: Cli, vlm_server: Any) -> None:
    plans = [label("--dry-run", *more).out for more in ((), ("--batch",))]
    one, half = (float(re.findall(r"\$([\d.]+)", plan)[0]) for plan in plans)
    assert half == pytest.approx(one / 2, abs=0.011) and "in batches" in plans[1] and not vlm_server.requests
    assert re.search(r"6 features by gpt-4o-mini, 6 calls, 138 pictures, about \d+ tokens, \$", plans[0])
