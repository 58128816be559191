"""`layers`, `status`, `search` and `show` at the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.feature import read_feature
from autointerp.views.status import read_status
from tests.commands.lines import Misuse, check_misuse

Cli = Callable[..., Any]


MISUSE: Misuse = {
    "unknown layer of a search": (["search", "red", "--layer", "lat"], 2, ["did you mean 'late'?"]),
    "a feature without a colon": (["show", "17"], 2, ["DICTIONARY:INDEX"]),
    "a feature of no dictionary": (["show", "x:17"], 2, ["no dictionary 'x'"]),
    "a feature that is no number": (["show", "x:\u00b2"], 2, ["DICTIONARY:INDEX"]),
    "a feature that is no small number": (["show", "x:" + "9" * 40], 2, ["DICTIONARY:INDEX"]),
    "empty search": (["search", ""], 2, ["empty"]),
    "search without a word": (["search", " *?! "], 2, ["empty"]),
    "search before anything": (["search", "red"], 1, ["autointerp label"]),
    "unknown route": (["search", "red", "--route", "crop"], 2, ["crops"]),
    "a score above one": (["search", "red", "--min-score", "1.5"], 2, ["--min-score"]),
    "a missing argument": (["search"], 2, ["TEXT"]),
    "unknown model": (["layers", "--model", "shaeps"], 2, ["did you mean 'shapes'?"]),
}


@pytest.mark.parametrize("case", sorted(MISUSE))
def test_misuse_is_one_line_with_what_to_do(made: Path, cli: Cli, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent)
    check_misuse(cli, made, MISUSE[case])


def test_layers(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = json.loads(cli("layers", "--json").out)
    assert [row["alias"] for row in listed] == ["early", "mid", "late"]
    for row in listed:
        assert set(row) == {"alias", "hookpoint", "d_in", "grid", "stream", "signal"}
        assert row["hookpoint"].startswith("transformer.")
        assert min(row["grid"]) >= 8
    table = cli("layers").out
    assert all(row["hookpoint"] in table for row in listed)
    assert len(json.loads(cli("layers", "--all", "--json").out)) > 3
    assert list(tmp_path.iterdir()) == []


def test_data_and_notes_are_apart(made: Path, cli: Cli) -> None:
    shown = cli("-w", made, "status", "--json")
    assert json.loads(shown.out)["dictionaries"] == []
    assert shown.err == ""
    assert os.fspath(made) in shown.out


NAME = "shapes-turbo.mid.topk"


def same(view: Any) -> Any:
    """The view as JSON gives it."""
    return json.loads(json.dumps(view.as_dict()))


def test_json_is_the_view(labeled: Path, cli: Callable[..., Any]) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    views = {
        ("status",): read_status(ctx),
        ("show", f"{NAME}:0"): read_feature(ctx, f"{NAME}:0"),
    }
    for command, view in views.items():
        done = cli("-w", labeled, *command, "--json")
        assert (done.code, done.err) == (0, "")
        assert json.loads(done.out) == same(view)
        assert cli("-w", labeled, *command).out.count("\n") > 1
    ctx.db.close()


def test_a_search_without_hits_is_a_note(labeled: Path, cli: Callable[..., Any]) -> None:
    done = cli("-w", labeled, "search", "zeppelin", "--route", "words", "--json")
    assert (done.code, json.loads(done.out)) == (0, [])
    assert "no feature fits 'zeppelin'" in done.err
