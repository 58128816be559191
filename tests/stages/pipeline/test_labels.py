"""The labeler `vlm` from the command line to the rows, against a server of the OpenAI protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


@pytest.fixture
def label(workspace: Path, vlm_server: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    # The budget tests count dollars, and this model has a price.
    given = ("--labeler", "vlm", "--vlm", "gpt-4o-mini", "--base-url", vlm_server.base_url)

    def run(*more: object) -> Any:
        return cli("-w", workspace, "label", "--layer", "mid", *given, *(() if "-j" in more else ("-j", "1")), *more)

    return run


def judging(request: dict[str, Any]) -> bool:
    return "answers" in json.dumps(request["response_format"])


def script(scripted: Any, name: Callable[[int], str] = lambda n: f"thing {n}") -> Any:
    """Names features `thing 0`, `thing 1` ...; says yes to every second image it is asked to judge."""
    named: list[int] = []

    def answer(request: dict[str, Any], number: int) -> Any:
        if judging(request):
            shown = sum(part["type"] == "image_url" for part in request["messages"][1]["content"])
            return scripted.Reply(json.dumps({"answers": [True] * shown}))
        named.append(number)
        return scripted.Reply(scripted.label_json(name(len(named) - 1)))

    return answer


def vlm_labels(query: Query, workspace: Path) -> list[Any]:
    return query(
        workspace,
        "SELECT f.latent_index, l.status, l.name, l.error, l.id FROM labels l JOIN labelers r ON r.id = l.labeler_id"
        " JOIN features f ON f.id = l.feature_id WHERE r.kind = 'vlm' ORDER BY l.id",
    )


def test_labels_calls_and_gain_scores(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, cli: Cli, query: Query
) -> None:
    vlm_server.script = script(scripted)
    done = label("-n", "5")
    assert done.code == 0, done.err
    found = vlm_labels(query, workspace)
    assert [(row[1], row[2]) for row in found] == [("ok", f"thing {i}") for i in range(5)]
    live = query(workspace, "SELECT latent_index FROM features WHERE state = 'live' ORDER BY 1 LIMIT 5")
    assert [row[:1] for row in found] == live

    calls = query(workspace, "SELECT purpose, model, answer, error, input_tokens, output_tokens, cost FROM calls")
    assert len(calls) == len(vlm_server.requests)
    assert sum(purpose.startswith("label") for purpose, *_ in calls) == 5
    for _, model, answer, error, tokens_in, tokens_out, cost in calls:
        assert (model, error, tokens_in, tokens_out) == ("gpt-4o-mini", "", 1000, 50)
        assert json.loads(answer)
        assert cost == pytest.approx(1000 * 0.15e-6 + 50 * 0.6e-6)
    # What is judged was never shown for naming: every picture of a feature is of the other split.
    scores = query(
        workspace,
        "SELECT s.id, s.label_id, s.value, s.tp, s.fp, s.tn, s.fn, s.unscored, s.note FROM scores s"
        " WHERE s.method = 'gain' ORDER BY s.label_id",
    )
    assert [row[1] for row in scores] == [row[4] for row in found]
    judged = [row for row in scores if row[2] is not None]
    assert judged
    for score, _, value, tp, fp, tn, fn, unscored, _ in judged:
        trials = query(
            workspace,
            "SELECT j.kind, j.truth, c.split FROM judgements j LEFT JOIN crops c ON c.id = j.crop_id"
            " WHERE j.score_id = ? ORDER BY j.trial",
            score,
        )
        assert {tuple(trial) for trial in trials} == {("active", True, "score"), ("base", False, None)}
        # It said yes to all: the name holds in random cells as often as in those of the feature.
        assert value == 0
        kinds = [kind for kind, *_ in trials]
        assert (tp, fp) == (kinds.count("active"), kinds.count("base"))
        assert tn == fn == unscored == 0
    for request in vlm_server.requests:
        assert request["response_format"]["type"] == "json_schema"

    # Nothing is asked twice.
    asked = len(vlm_server.requests)
    assert "nothing to do" in label("-n", "5").err
    assert len(vlm_server.requests) == asked
    shown = json.loads(cli("-w", workspace, "show", f"shapes-turbo.mid.topk:{found[0][0]}", "--json").out)
    assert shown["label"]["name"] == "thing 0"
    assert shown["label"]["labeler"] == "vlm"
    assert {s["method"] for s in shown["scores"]} == {"embedding", "gain"}


def test_a_plan_says_the_most_that_gain_may_ask(label: Cli) -> None:
    planned = label("-n", "2", "--dry-run").out.splitlines()[-1]
    # Three requests of eight pictures hold 20 cells of a feature, and seven the 50 of a name.
    assert "gain score of 2 labels, at most 20 questions each and 50 a name, at most 20 calls, 140 pictures" in planned


def test_a_server_is_not_paid_to_judge_again_what_it_judged_by_detection(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, cli: Cli, query: Query
) -> None:
    vlm_server.script = script(scripted)
    given = ("--labeler", "vlm", "--vlm", "gpt-4o-mini", "--base-url", vlm_server.base_url)
    assert label("-n", "2", "--no-score").code == 0
    assert cli("-w", workspace, "score", "--layer", "mid", "--method", "detection", *given).code == 0
    asked = len(vlm_server.requests)
    again = label("-n", "2")
    assert again.code == 0, again.err
    assert len(vlm_server.requests) == asked
    assert again.err.count("2 labels were judged by detection before") == 1
    assert "score --layer mid --method gain" in again.err
    assert label("-n", "3").code == 0
    labels = [row[4] for row in vlm_labels(query, workspace)]
    assert query(workspace, "SELECT label_id FROM scores WHERE method = 'gain'") == [(labels[2],)]


def test_an_answer_is_paid_once(workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query) -> None:
    vlm_server.script = script(scripted)
    assert label("-n", "2", "--no-score").code == 0
    assert len(vlm_server.requests) == 2
    # Asked to label again, the request is the same, and so is its answer, from the ledger.
    assert label("-n", "2", "--no-score", "--force").code == 0
    assert len(vlm_server.requests) == 2
    assert [row[2] for row in vlm_labels(query, workspace)] == ["thing 0", "thing 1"] * 2


@pytest.mark.parametrize("score", [True, False])
def test_a_budget_of_calls_ends_the_work(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query, score: bool
) -> None:
    vlm_server.script = script(scripted)
    more = () if score else ("--no-score",)
    done = label("-n", "6", "--max-calls", "4", *more)
    assert done.code == 3
    assert "4 of 6 features labeled" in done.err
    assert "4 calls" in done.err
    assert "Traceback" not in done.err
    # Naming and judging spend one budget.
    assert len(vlm_server.requests) == 4 == len(query(workspace, "SELECT 1 FROM calls"))
    assert len(vlm_labels(query, workspace)) == 4
    assert label("-n", "6", *more).code == 0
    assert [row[1] for row in vlm_labels(query, workspace)] == ["ok"] * 6
    if score:
        assert len(query(workspace, "SELECT 1 FROM scores WHERE method = 'gain'")) == 6


def test_a_budget_reached_while_judging_keeps_the_labels(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    vlm_server.script = script(scripted)
    done = label("-n", "3", "--max-calls", "4")
    assert done.code == 3
    assert "4 calls" in done.err
    assert len(vlm_labels(query, workspace)) == 3
    assert len(vlm_server.requests) == 4
    again = label("-n", "3")
    assert again.code == 0
    assert "nothing to do" not in again.err
    assert len(query(workspace, "SELECT 1 FROM scores WHERE method = 'gain'")) == 3


@pytest.mark.parametrize("jobs", [1, 32])
def test_a_budget_of_dollars_ends_the_work(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query, jobs: int
) -> None:
    good = script(scripted)

    def dear(request: dict[str, Any], number: int) -> Any:
        reply = good(request, number)
        reply.usage = (30_000, 50)
        return reply

    vlm_server.script = dear
    done = label("-n", "20", "--max-cost", "0.05", "--no-score", "-j", jobs)
    assert done.code == 3, done.err
    assert re.search(r"stopped at \$0\.0\d+ of \$0\.05", done.err), done.err
    # A call costs 0.00453 dollars: most of what was given was spent, and no more, however many were under way.
    ((spent, answers),) = query(workspace, "SELECT sum(cost), count(answer) FROM calls")
    assert spent <= 0.05
    assert 8 <= answers == len(vlm_server.requests) <= 11


def test_status_says_what_was_spent_and_what_the_rest_would_cost(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, cli: Cli, query: Query
) -> None:
    assert json.loads(cli("-w", workspace, "status", "--json").out)["calls"]["expected"] is None
    # A price of one's own comes before the shipped one.
    own = {"models": {"gpt-4o-mini": {"input": 1000.0, "output": 0.0, "picture": 10}}}
    (workspace / "prices.json").write_text(json.dumps(own))
    vlm_server.script = script(scripted)
    planned = label("-n", "2", "--no-score", "--dry-run").out
    dollars = 2 * (700 + 23 * 10) * 1000 / 1e6
    assert f"2 calls, 46 pictures, about {2 * (700 + 23 * 10 + 200)} tokens, ${dollars:.2f}" in planned
    assert label("-n", "2", "--no-score").code == 0
    ((live,),) = query(workspace, "SELECT count(*) FROM features WHERE state = 'live'")
    found = json.loads(cli("-w", workspace, "status", "--json").out)["calls"]
    assert found == {
        "calls": 2,
        "answers": 2,
        "input_tokens": 2000,
        "output_tokens": 100,
        "spent": 2.0,
        "unpriced": 0,
        "remaining": live - 2,
        "expected": live - 2.0,
    }
    shown = cli("-w", workspace, "status").out
    said = f"2 calls, 2 answered: $2.0000 spent; {live - 2} features left, about ${live - 2:.4f} expected"
    assert shown.rstrip().endswith(said)


def test_a_key_that_a_server_repeats_in_an_error_is_nowhere_in_the_workspace(
    workspace: Path,
    vlm_server: Any,
    scripted: Any,
    cli: Cli,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret-9")

    def script(request: dict[str, Any], number: int) -> Any:
        seen = vlm_server.headers[number]["authorization"]
        assert "sk-very-secret-9" in seen
        return scripted.Reply(scripted.label_json("red")) if number else scripted.Reply(f"no {seen}", 400)

    vlm_server.script = script
    given = ("--labeler", "vlm", "--vlm", "m", "--base-url", vlm_server.base_url, "--api-key-env", "MY_KEY", "-j", "1")
    done = cli("-w", workspace, "label", "--layer", "mid", "-n", "2", "--no-score", *given)
    assert done.code == 0, done.err
    assert ("no Bearer ***",) in query(workspace, "SELECT error FROM calls")
    cli("-w", workspace, "export", "--layer", "mid", "-o", tmp_path / "out")
    files = [path for path in (*workspace.rglob("*"), *(tmp_path / "out").rglob("*")) if path.is_file()]
    assert not [path for path in files if b"sk-very-secret-9" in path.read_bytes()]
    vlm_server.script = lambda request, number: scripted.Reply("bad key sk-very-secret-9", 401)
    refused = cli("-w", workspace, "label", "--layer", "mid", "-n", "3", "--no-score", *given)
    assert refused.code == 1
    assert "refuses the API key" in refused.err
    assert "secret" not in refused.out + refused.err


def test_failed_features_are_rows_and_can_be_tried_again(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    good = script(scripted)
    # The second feature's reply cannot be read, nor can its repair.
    vlm_server.script = lambda r, n: scripted.Reply("I would rather not.") if n in (1, 2) else good(r, n)
    done = label("-n", "3", "--no-score")
    found = vlm_labels(query, workspace)
    assert done.code == 3
    assert f"1 of 3 features failed ({found[1][0]})" in done.err
    assert "--retry-failed" in done.err
    assert [row[1] for row in found] == ["ok", "failed", "ok"]
    assert found[1][2] == ""
    assert "unreadable" in found[1][3]
    assert len(query(workspace, "SELECT 1 FROM calls")) == 4
    # Only on request is it tried again.
    assert label("-n", "3", "--no-score").code == 0
    assert len(vlm_server.requests) == 4
    vlm_server.script = lambda r, n: scripted.Reply(scripted.label_json("second try"))
    retried = label("-n", "3", "--no-score", "--retry-failed")
    assert retried.code == 0, retried.err
    again = vlm_labels(query, workspace)
    assert [row[1] for row in again] == ["ok"] * 3
    assert again[-1][:3] == (found[1][0], "ok", "second try")


def test_everything_fails(workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query) -> None:
    vlm_server.script = lambda r, n: scripted.Reply("?!")
    done = label("-n", "2")
    assert done.code == 3
    assert "2 of 2 features failed" in done.err
    assert [row[1:3] for row in vlm_labels(query, workspace)] == [("failed", "")] * 2


def test_uninterpretable_is_a_result(workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query) -> None:
    vlm_server.script = lambda r, n: scripted.Reply(scripted.label_json("", interpretable=False, confidence=0.2))
    assert label("-n", "2").code == 0
    assert [row[1] for row in vlm_labels(query, workspace)] == ["uninterpretable"] * 2


@pytest.mark.parametrize(("status", "said"), [(401, "refuses the API key"), (404, "knows no model")])
def test_a_server_that_refuses_ends_at_once(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query, status: int, said: str
) -> None:
    vlm_server.script = lambda r, n: scripted.Reply("no", status=status)
    done = label("-n", "9")
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err
    assert len(vlm_server.requests) <= 4
    assert not vlm_labels(query, workspace)
    vlm_server.script = script(scripted)
    assert label("-n", "2", "--no-score").code == 0


def test_no_model_no_key_and_no_price_are_known_before_any_work(
    tmp_path: Path, cli: Cli, vlm_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    start = ("-w", tmp_path / "w", "-q", "label", "--layer", "mid", "--labeler", "vlm")
    unnamed = cli(*start)
    assert unnamed.code == 2
    assert "--vlm MODEL" in unnamed.err
    keyless = cli(*start, "--vlm", "gpt-4o-mini")
    assert keyless.code in (1, 2)
    assert "OPENAI_API_KEY" in keyless.err
    unpriced = cli(*start, "--vlm", "m", "--base-url", vlm_server.base_url, "--max-cost", "1")
    assert unpriced.code in (1, 2)
    assert "price" in unpriced.err
    for done in (unnamed, keyless, unpriced):
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
    assert not vlm_server.requests
    assert not (tmp_path / "w" / "dictionaries").exists()


def test_the_longest_answer_is_a_setting_and_failures_say_so(
    workspace: Path, cli: Cli, vlm_server: Any, scripted: Any, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def script(request: dict[str, Any], number: int) -> Any:
        limit = request["max_tokens"]
        if limit < 1400 and number:
            return scripted.Reply("", usage=(1000, limit), finish_reason="length")
        return scripted.Reply(scripted.label_json(f"red {number}"))

    vlm_server.script = script
    start: tuple[object, ...] = ("-w", workspace, "label", "--layer", "mid", "--no-score", "-n", "4", "-j", "1")
    start += ("--labeler", "vlm", "--vlm", "gpt-4o-mini", "--base-url", vlm_server.base_url)
    first = cli(*start)
    assert first.code == 3
    assert "cut off at 700 tokens" in first.err
    assert "--max-tokens" in first.err
    assert len(vlm_server.requests) == 4
    # Under the same limit nothing is asked and paid for again.
    again = cli(*start, "--retry-failed")
    assert again.code == 3
    assert "cut off at 700 tokens" in again.err
    assert len(vlm_server.requests) == 4
    done = cli(*start, "--retry-failed", "--max-tokens", "2000", "--timeout", "30")
    assert done.code == 0, done.err
    assert len(vlm_server.requests) == 7
    count = "SELECT count(*) FROM labels l JOIN labelers r ON r.id = l.labeler_id WHERE r.kind = 'vlm'"
    assert query(workspace, f"{count} AND l.status = 'ok'") == [(4,)]
    assert query(workspace, "SELECT count(*) FROM labelers WHERE kind = 'vlm'") == [(1,)]
