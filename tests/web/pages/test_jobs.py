"""The page Jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autointerp.project.workspace import WorkspaceFolder
from tests.web.sites import HERE, NAME, client_of, site_of

REQUEST = {"what": "label", "dictionary": NAME, "labeler": "prompts", "count": 2, "score": False}


@pytest.fixture
def working(workspace: Path) -> Iterator[Any]:
    """A client of a workspace whose clerk ends with the test."""
    site = site_of(workspace)
    yield client_of(site)
    site.close()


def ended(client: Any, ticket: str) -> Any:
    """The ticket's last line."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        line = client.get(f"/api/work/{ticket}").json()
        if line["state"] in ("done", "stopped", "failed"):
            return line
        time.sleep(0.1)
    raise AssertionError("it does not end")


def test_a_job_is_planned_started_and_followed(
    working: Any, workspace: Path, post: Callable[..., Any], query: Callable[..., Any]
) -> None:
    planned = ended(working, post(working, "/api/jobs/plan", REQUEST).json()["id"])
    assert planned["state"] == "done", planned
    assert (planned["value"]["nothing_to_do"], planned["value"]["cost"]) == (False, 0.0)
    # A plan is no job, and makes nothing.
    assert working.get("/api/jobs").json()["jobs"] == []
    begun = post(working, "/api/jobs", REQUEST).json()
    done = ended(working, begun["id"])
    assert done["state"] == "done", done
    found = "SELECT count(*) FROM labels l JOIN labelers w ON w.id = l.labeler_id WHERE w.kind = 'prompts'"
    assert query(workspace, found) == [(2,)]
    assert [one["id"] for one in working.get("/api/jobs").json()["jobs"]] == [begun["id"]]
    assert f'data-ticket="{begun["id"]}"' in working.get("/jobs").text


def test_while_another_process_writes_a_job_fails_with_one_line(
    working: Any, workspace: Path, post: Callable[..., Any]
) -> None:
    with WorkspaceFolder(workspace).lock():
        line = ended(working, post(working, "/api/jobs", REQUEST).json()["id"])
    assert line["state"] == "failed"
    assert line["error"].startswith("the workspace is being written by process")


def test_requests_that_ask_for_more_than_a_job_are_refused(client: Any, post: Callable[..., Any]) -> None:
    for wrong in (
        {"what": "rm"},
        {"base_url": "http://evil.example"},
        {"api_key_env": "HOME"},
        {"count": 0},
        {"max_cost": -1},
        {"features": ["x"]},
        {"dictionary": ""},
    ):
        assert post(client, "/api/jobs", {**REQUEST, **wrong}).status_code == 400, wrong
    foreign = {"origin": "http://evil.example"}
    assert client.post("/api/jobs", json=REQUEST, headers=foreign).status_code == 403
    assert client.post("/api/jobs", json=REQUEST).status_code == 403


def test_a_view_that_is_read_only_starts_nothing(labeled: Path, databases: Any, tmp_path: Path) -> None:
    client = client_of(site_of(databases.copy(labeled, tmp_path / "w"), read_only=True))
    for path in ("/api/jobs", "/api/jobs/plan"):
        assert client.post(path, json=REQUEST, headers={"origin": HERE}).status_code == 403
    page = client.get("/jobs").text
    assert "read-only" in page
    assert 'id="job"' not in page


def test_the_form_offers_what_there_is(client: Any, made: Path) -> None:
    page = client.get(f"/jobs?dictionary={NAME}&features=3,17").text
    assert f'<option value="{NAME}" selected>' in page
    assert 'value="3,17"' in page
    for word in ('value="clip"', 'value="gain"', "Nothing is under way."):
        assert word in page
    assert 'value="human"' not in page
    assert "Nothing to label yet" in client_of(site_of(made)).get("/jobs").text
