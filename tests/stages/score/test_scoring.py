"""`score` from the command line to the rows: every method, its trials, its control, and what `evaluate` says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.labeling.judging import SCORES, score_method

Cli = Callable[..., Any]
Query = Callable[..., list[Any]]

JUDGED = [name for name in SCORES if score_method(name).answered_by == "judge"]
ROWS = (
    "SELECT s.id, f.id, s.value, s.unscored, s.shuffled, s.note, l.status FROM scores s JOIN labels l"
    " ON l.id = s.label_id JOIN features f ON f.id = l.feature_id WHERE s.method = ? ORDER BY s.id"
)


@pytest.fixture
def score(workspace: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(*more: object) -> Any:
        return cli("-w", workspace, "score", "--layer", "mid", *more)

    return run


def by(*methods: str) -> list[str]:
    return [part for method in methods for part in ("--method", method)]


def test_the_oracle_is_always_right(workspace: Path, score: Cli, cli: Cli, query: Query) -> None:
    before = json.loads(cli("-w", workspace, "show", "shapes-turbo.mid.topk:0", "--json").out)["scores"]
    for judge, expected in (("oracle", 1.0), ("always-yes", 0.5)):
        done = score(*by(*JUDGED), "--judge", judge)
        assert done.code == 0, done.err
        values = query(
            workspace,
            "SELECT s.method, s.value FROM scores s JOIN labelers r ON r.id = s.judge_id WHERE r.kind = 'control'"
            " AND r.model = ? AND s.value IS NOT NULL",
            judge,
        )
        assert {method for method, _ in values} == set(JUDGED)
        for method, value in values:
            # A judge that says yes to all is at chance, which is 0 for gain.
            assert value == pytest.approx(0.0 if (method, judge) == ("gain", "always-yes") else expected)
    # They test the scores, and are none: nothing that is shown or searched by has changed.
    assert json.loads(cli("-w", workspace, "show", "shapes-turbo.mid.topk:0", "--json").out)["scores"] == before
    # A label that this judge has scored by a method is not scored again.
    assert "nothing to do" in score(*by(*JUDGED), "--judge", "oracle").err


def test_every_trial_is_a_row_that_says_what_was_shown(workspace: Path, score: Cli, query: Query) -> None:
    assert score(*by(*JUDGED), "--judge", "oracle").code == 0
    rows = query(
        workspace,
        "SELECT s.method, j.kind, j.truth, j.panel, j.shown, c.split, c.role, c.feature_id, l.feature_id, c.neighbour"
        " FROM judgements j JOIN scores s ON s.id = j.score_id JOIN labels l ON l.id = s.label_id"
        " JOIN crops c ON c.id = j.crop_id WHERE s.method NOT IN ('embedding', 'gain', 'apart')",
    )
    kinds = {
        method: {row[1] for row in rows if row[0] == method} for method in JUDGED if method not in ("gain", "apart")
    }
    assert kinds == {
        "detection": {"firing", "random", "hard"},
        "fuzzing": {"firing", "displaced", "foreign"},
        "intruder": {"firing", "intruder"},
        "shabalin": {"firing", "foreign"},
    }
    for method, kind, truth, panel, shown, split, role, crop_of, feature, neighbour in rows:
        shown = json.loads(shown) if isinstance(shown, str) else shown
        # Only the seed paper's score shows what a labeler may have seen.
        assert split == ("explain" if method == "shabalin" else "score")
        assert bool(truth) == (kind == "firing")
        assert (panel is not None) == (method == "intruder")
        assert (crop_of == feature) == (kind not in ("foreign", "intruder"))
        assert (role == "negative") == (kind in ("random", "hard"))
        assert (neighbour is not None) == (kind == "hard")
        assert (set(shown) == {"box", "cell"}) == (kind == "displaced")


def test_gain_asks_the_base_rate_once_a_name(workspace: Path, score: Cli, query: Query) -> None:
    done = score(*by("gain"), "--judge", "reader")
    assert done.code == 0, done.err
    scores = query(
        workspace,
        "SELECT s.value, s.precision, s.precision_low, s.precision_high, s.base_rate, s.tp, s.fn, s.fp, s.tn, l.name"
        " FROM scores s JOIN labels l ON l.id = s.label_id WHERE s.method = 'gain' AND s.value IS NOT NULL"
        " AND NOT s.shuffled",
    )
    assert scores
    for value, precision, low, high, base, tp, fn, fp, tn, _ in scores:
        assert value == pytest.approx(precision - base)
        assert precision == pytest.approx(tp / (tp + fn))
        assert base == pytest.approx(fp / (fp + tn))
        assert low <= precision <= high
        assert fp + tn == 50
    names = {row[-1] for row in scores}
    rates = query(workspace, "SELECT name, yes, no FROM base_rates")
    assert len(rates) == len({name for name, _, _ in rates})
    assert names <= {name for name, _, _ in rates}
    rows = query(
        workspace,
        "SELECT j.kind, j.crop_id, j.shown, j.truth FROM judgements j JOIN scores s ON s.id = j.score_id"
        " WHERE s.method = 'gain'",
    )
    # Each question that was asked is one row, and the shared ones are not repeated.
    assert sum(kind == "base" for kind, *_ in rows) == 50 * len(rates)
    for kind, crop, shown, truth in rows:
        shown = json.loads(shown) if isinstance(shown, str) else shown
        assert (crop is None) == (kind == "base") == (not truth)
        assert set(shown) == ({"prompt", "cell"} if kind == "base" else {"box", "cell"})
    assert "nothing to do" in score(*by("gain"), "--judge", "reader").err


def test_a_foreign_mark_lies_where_the_feature_is_silent(workspace: Path, score: Cli, query: Query) -> None:
    assert score(*by("fuzzing", "intruder"), "--judge", "oracle").code == 0
    foreign = query(
        workspace,
        "SELECT c.image_id, l.feature_id FROM judgements j JOIN scores s ON s.id = j.score_id"
        " JOIN labels l ON l.id = s.label_id JOIN crops c ON c.id = j.crop_id WHERE j.kind IN ('foreign', 'intruder')",
    )
    silent = set(query(workspace, "SELECT image_id, feature_id FROM crops WHERE role = 'negative'"))
    assert foreign
    assert set(foreign) <= silent


def test_embedding_has_its_trials_and_its_control(workspace: Path, query: Query) -> None:
    own = [row for row in query(workspace, ROWS, "embedding") if not row[4]]
    shuffled = [row for row in query(workspace, ROWS, "embedding") if row[4]]
    assert own
    assert 0 < len(shuffled) <= len(own)
    counted = dict(query(workspace, "SELECT score_id, count(value) FROM judgements GROUP BY score_id"))
    assert all(counted[row[0]] >= 6 for row in own if row[2] is not None)
    holds = query(workspace, "SELECT count(*) FROM judgements WHERE holds IS NOT NULL")
    assert holds == [(0,)]


def test_the_model_answers_the_generative_score(workspace: Path, score: Cli, query: Query) -> None:
    # Few labels are enough to generate for.
    keep = [row[0] for row in query(workspace, "SELECT id FROM labels WHERE status = 'ok' ORDER BY id")][:3]
    _only(workspace, keep)
    planned = score(*by("generative"), "--dry-run")
    assert "generative score of 3 labels" in planned.out
    assert f"{3 * 8 + 16} images" in planned.out
    done = score(*by("generative"))
    assert done.code == 0, done.err
    own = [row for row in query(workspace, ROWS, "generative") if not row[4]]
    assert len(own) == 3
    rows = query(
        workspace,
        "SELECT j.kind, j.truth, j.value, j.shown, j.crop_id, l.name FROM judgements j JOIN scores s"
        " ON s.id = j.score_id JOIN labels l ON l.id = s.label_id WHERE s.method = 'generative' AND NOT s.shuffled",
    )
    assert {row[0] for row in rows} == {"generated", "unrelated"}
    assert max(row[2] for row in rows) > 0
    for kind, truth, value, shown, crop, name in rows:
        shown = json.loads(shown) if isinstance(shown, str) else shown
        assert value >= 0
        assert crop is None
        assert bool(truth) == (kind == "generated")
        assert (shown["prompt"] == name) == (kind == "generated")
    assert "nothing to do" in score(*by("generative")).err


def _only(workspace: Path, labels: list[int]) -> None:
    """Let all other labels be uninterpretable ones."""
    from sqlalchemy import update

    from autointerp.db.models import Label
    from autointerp.project.workspace import WorkspaceFolder

    with WorkspaceFolder(workspace).db.session() as session:
        session.execute(update(Label).where(Label.id.not_in(labels)).values(status="uninterpretable"))


def test_a_vlm_judges_and_evaluate_reports(
    workspace: Path, score: Cli, cli: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    keep = [row[0] for row in query(workspace, "SELECT id FROM labels WHERE status = 'ok' ORDER BY id")][:6]
    _only(workspace, keep)

    def answer(request: dict[str, Any], number: int) -> Any:
        shown = sum(part["type"] == "image_url" for part in request["messages"][1]["content"])
        return scripted.Reply(json.dumps({"answers": [True] * shown}))

    vlm_server.script = answer
    given = (*by("fuzzing"), "--vlm", "gpt-4o-mini", "--base-url", vlm_server.base_url, "-j", "1")
    planned = score(*given, "--dry-run")
    assert planned.code == 0
    assert "fuzzing score of 6 labels and " in planned.out
    assert "calls" in planned.out
    assert "$" in planned.out
    assert not vlm_server.requests
    assert score(*given).code == 0
    rows = query(workspace, ROWS, "fuzzing")
    assert {row[4] for row in rows} == {0, 1}
    assert {row[2] for row in rows} <= {0.5, None}
    asked = len(vlm_server.requests)
    assert "nothing to do" in score(*given).err
    assert len(vlm_server.requests) == asked

    found = {(s["method"], s["judge"]): s for s in json.loads(_evaluated(cli, workspace, "--json"))["scores"]}
    fuzzing, embedding = found["fuzzing", "gpt-4o-mini"], found["embedding", None]
    assert (fuzzing["value"], fuzzing["chance"], fuzzing["shuffled"]) == (0.5, 0.5, 0.5)
    assert fuzzing["labels"] + fuzzing["valueless"] == 6
    assert fuzzing["unscored"] == 0 < fuzzing["trials"]
    assert embedding["ci_low"] <= embedding["value"] <= embedding["ci_high"]
    # What is scored later is there without measuring again.
    assert score(*by("detection"), "--judge", "oracle").code == 0
    shown = _evaluated(cli, workspace)
    line = next(line for line in shown.splitlines() if line.startswith("detection score by oracle"))
    assert "1.000" in line
    assert "chance 0.500" in line
    assert "shuffled labels -" in line


def test_a_paid_gain_that_was_stopped_goes_on_with_whole_base_rates(
    workspace: Path, score: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    _only(workspace, [row[0] for row in query(workspace, "SELECT id FROM labels WHERE status = 'ok' ORDER BY id")][:2])

    def answer(request: dict[str, Any], number: int) -> Any:
        shown = sum(part["type"] == "image_url" for part in request["messages"][1]["content"])
        return scripted.Reply(json.dumps({"answers": [True, *[False] * (shown - 1)]}))

    vlm_server.script = answer
    given = (*by("gain"), "--vlm", "gpt-4o-mini", "--base-url", vlm_server.base_url, "-j", "1")
    # Fifty cells are seven requests of eight pictures.
    stopped = score(*given, "--max-calls", "4")
    assert stopped.code == 3
    assert "raise --max-calls" in stopped.err
    assert len(vlm_server.requests) == 4
    assert not query(workspace, "SELECT 1 FROM base_rates")
    assert not query(workspace, ROWS, "gain")
    assert score(*given).code == 0
    asked = query(workspace, "SELECT fp, tn, unscored FROM scores WHERE method = 'gain'")
    assert set(asked) == {(7, 43, 0)}
    assert set(query(workspace, "SELECT yes, no FROM base_rates")) == {(7, 43)}
    # No answer was paid for twice.
    paid = query(workspace, "SELECT count(*), count(DISTINCT request_hash) FROM calls")
    assert paid == [(len(vlm_server.requests), len(vlm_server.requests))]


def _evaluated(cli: Cli, workspace: Path, *more: str) -> str:
    done = cli("-w", workspace, "evaluate", "--layer", "mid", "--images", "4", *more)
    assert done.code == 0, done.err
    return str(done.out)


def test_unreadable_answers_are_recorded_and_can_be_asked_for_again(
    workspace: Path, score: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    keep = [row[0] for row in query(workspace, "SELECT id FROM labels WHERE status = 'ok' ORDER BY id")][:2]
    _only(workspace, keep)
    vlm_server.script = lambda r, n: scripted.Reply("Who knows.")
    given = (*by("shabalin"), "--vlm", "gpt-4o-mini", "--base-url", vlm_server.base_url, "-j", "1")
    done = score(*given)
    assert done.code == 3
    assert "no readable answer on" in done.err
    assert "--retry-failed" in done.err
    rows = query(workspace, ROWS, "shabalin")
    assert rows
    assert all(value is None and unscored > 0 for _, _, value, unscored, *_ in rows)
    assert query(workspace, "SELECT count(*) FROM judgements WHERE error LIKE '%unreadable%'") != [(0,)]
    assert "nothing to do" in score(*given).err

    def rate(request: dict[str, Any], number: int) -> Any:
        shown = sum(part["type"] == "image_url" for part in request["messages"][1]["content"])
        return scripted.Reply(json.dumps({"ratings": [0.75] * shown}))

    vlm_server.script = rate
    assert score(*given, "--retry-failed").code == 0
    again = query(workspace, ROWS, "shabalin")
    assert len(again) == len(rows)
    assert {row[2] for row in again} == {0.5}


def test_a_judge_that_is_not_there_is_skipped_with_a_note(score: Cli) -> None:
    done = score(*by("detection", "embedding"))
    assert done.code == 0
    assert "no detection score: no model is named" in done.err
    keyless = score(*by("fuzzing"), "--vlm", "gpt-4o-mini")
    assert keyless.code == 0
    assert "no fuzzing score: no API key" in keyless.err


@pytest.mark.parametrize(("given", "said"), [(("--method", "fuzz"), "fuzzing"), (("--judge", "orcale"), "oracle")])
def test_what_does_not_exist(score: Cli, given: tuple[str, str], said: str) -> None:
    done = score(*given)
    assert done.code == 2
    assert f"did you mean '{said}'" in done.err
    assert done.err.count("\n") == 1


def test_what_has_no_name_has_an_intruder_score(workspace: Path, score: Cli, query: Query) -> None:
    _only(workspace, [])
    assert score(*by("intruder", "detection"), "--judge", "coin").code == 0
    assert {row[6] for row in query(workspace, ROWS, "intruder")} == {"uninterpretable"}
    assert not query(workspace, ROWS, "detection")
