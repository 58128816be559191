"""One run of each stage on a PostgreSQL server; `make test-postgres` runs it beside tests/db."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAME = "shapes-turbo.mid.topk"
Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


@pytest.fixture(autouse=True)
def _on_a_server(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--database") != "postgresql":
        pytest.skip("with --database postgresql")


def run(cli: Cli, workspace: Path, *command: object) -> str:
    done = cli("-w", workspace, *command)
    assert done.code == 0, done.err
    return str(done.out)


def test_the_workspace_is_on_the_server(labeled: Path, cli: Cli, query: Query) -> None:
    assert not (labeled / "autointerp.db").exists()
    assert query(labeled, "SELECT name FROM dictionaries") == [(NAME,)]
    run(cli, labeled, "db", "check")


def test_fit_harvest_index_and_label(labeled: Path, cli: Cli, query: Query) -> None:
    ((live,),) = query(labeled, "SELECT count(*) FROM features WHERE state = 'live'")
    assert live > 0
    assert query(labeled, "SELECT count(DISTINCT feature_id) FROM labels") == [(live,)]
    assert {kind for (kind,) in query(labeled, "SELECT kind FROM indexes")} == {"crops", "labels", "decoder"}
    # All of it is found again, so no stage does its work twice.
    for stage in ("fit", "harvest", "label"):
        assert "nothing to do" in cli("-w", labeled, stage, "--layer", "mid").err


def test_score(workspace: Path, cli: Cli, query: Query) -> None:
    run(cli, workspace, "-q", "score", "--layer", "mid", "--method", "detection", "--judge", "oracle")
    found = query(workspace, "SELECT value FROM scores WHERE method = 'detection' AND value IS NOT NULL")
    assert {value for (value,) in found} == {1.0}


def test_evaluate(workspace: Path, cli: Cli, query: Query) -> None:
    figures = json.loads(run(cli, workspace, "-q", "evaluate", "--layer", "mid", "--json"))
    assert figures["fvu"] is not None
    assert [one["method"] for one in figures["scores"]] == ["embedding"]
    # The controls of the layer are runs of their own, without a dictionary.
    runs = "SELECT status FROM runs WHERE kind = 'evaluate'"
    assert query(workspace, f"{runs} AND dictionary_id IS NOT NULL") == [("done",)]
    assert set(query(workspace, runs)) == {("done",)}


def test_search_by_every_route(labeled: Path, cli: Cli) -> None:
    for route in ("words", "labels", "crops"):
        assert json.loads(run(cli, labeled, "search", "red", "--route", route, "--json")), route


def test_a_bundle_goes_out_and_comes_in(workspace: Path, tmp_path: Path, cli: Cli, query: Query) -> None:
    run(cli, workspace, "-q", "export", "--layer", "mid", "-o", tmp_path / "bundle", "--format", "bundle")
    other = tmp_path / "other"
    run(cli, other, "-q", "import", tmp_path / "bundle")
    assert query(other, "SELECT name FROM dictionaries") == [(NAME,)]
    run(cli, other, "db", "check")
