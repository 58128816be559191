"""The page Start, and the status as JSON."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

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
