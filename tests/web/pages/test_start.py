"""The page Start, and the status as JSON."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

from autointerp.progress import NullProgress
from autointerp.project.following import FollowedProgress
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.status import read_status
from tests.web.sites import NAME, client_of, site_of


def test_it_tells_what_the_workspace_holds(client: Any, site: Any) -> None:
    page = client.get("/").text
    (row,) = read_status(site.ctx).dictionaries
    assert f">{NAME}</bdi>" in page
    assert f"{row.labels} named" in re.sub(r"<[^>]+>", "", page)
    # The layers stand in the order in which the model runs them.
    assert re.findall(r"<b><bdi>(\w+)</bdi></b>", page) == ["early", "mid", "late"]
    assert page.count("no dictionary yet") == 2


def test_the_status_has_the_keys_of_the_command_line_but_no_path(client: Any, site: Any) -> None:
    found, stored = client.get("/api/status").json(), read_status(site.ctx).as_dict()
    assert set(found) == {*stored, "work"}
    assert found["workspace"] == "w"
    assert found["dictionaries"] == stored["dictionaries"]
    assert found["work"] == []


def test_a_workspace_with_nothing_in_it_says_what_to_do(made: Path) -> None:
    page = client_of(site_of(made)).get("/").text
    assert "autointerp label --layer mid" in page


def test_work_under_way_and_a_missing_model(workspace: Path) -> None:
    with sqlite3.connect(workspace / "autointerp.db") as db:
        db.execute("UPDATE runs SET status = 'running', done = 10, total = 40 WHERE kind = 'harvest'")
        db.execute("UPDATE dictionaries SET layer = '<b>odd</b>'")
    db.close()
    settings = workspace / "autointerp.toml"
    settings.write_text(settings.read_text().replace('model = "shapes-turbo"', 'model = "/no/such/model"'))
    client = client_of(site_of(workspace))
    page = client.get("/").text
    assert "10 of 40" in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    assert "/no/such" not in page
    assert client.get("/api/status").json()["work"][0]["done"] == 10


def test_what_to_do_next_follows_from_what_there_is(fitted: Path, workspace: Path) -> None:
    page = client_of(site_of(fitted)).get("/").text
    assert "not harvested" in page
    assert f"<code>autointerp label --layer mid --dictionary {NAME}</code>" in page
    assert "Best first" not in page
    with sqlite3.connect(workspace / "autointerp.db") as db:
        db.execute("DELETE FROM judgements")
        db.execute("DELETE FROM scores")
    db.close()
    site = site_of(workspace)
    page = client_of(site).get("/").text
    assert "Its names have no score yet, so all of them are in doubt" in page
    assert f"<code>autointerp score --layer mid --dictionary {NAME}</code>" in page
    assert "Best first" in page
    # What no command could do now is not advised.
    other = WorkspaceFolder(workspace)
    with other.lock(), FollowedProgress(NullProgress(), other).task(f"gain score of {NAME}", 8, 2, "label"):
        page = client_of(site).get("/").text
    assert "Under way" in page
    assert "autointerp score" not in page
    assert "Its names have no score" not in page


def test_a_harvest_that_was_killed_says_how_it_goes_on(workspace: Path) -> None:
    with sqlite3.connect(workspace / "autointerp.db") as db:
        db.execute("UPDATE runs SET status = 'running', done = 10, total = 40 WHERE kind = 'harvest'")
    db.close()
    client = client_of(site_of(workspace))
    for path in ("/", "/jobs"):
        page = client.get(path).text
        assert "Stopped before the end" in page, path
        assert f"<code>autointerp harvest --layer mid --dictionary {NAME} --images 40</code>" in page, path


def test_what_cost_nothing_is_not_called_spent(workspace: Path) -> None:
    def page_with(cost: str) -> str:
        with sqlite3.connect(workspace / "autointerp.db") as db:
            db.execute("DELETE FROM calls")
            db.execute(
                "INSERT INTO calls (request_hash, purpose, model, answer, error, input_tokens, output_tokens, cost, "
                f"latency_ms, created_at) VALUES ('a', 'label', 'm', 'yes', '', 1, 1, {cost}, 1, '2026-01-01')"
            )
        db.close()
        return str(client_of(site_of(workspace)).get("/").text)

    assert "Spent" not in page_with("0")
    assert "$0.25" in page_with("0.25")
    assert "of unknown price" in page_with("NULL")
