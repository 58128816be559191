"""Labels by hand over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autointerp.project.workspace import WorkspaceFolder
from tests.web.sites import HERE, client_of, site_of


def test_name_accept_reject_and_undo(own: Any, named: str, post: Any) -> None:
    before = own.get(f"/api/features/{named}").json()["label"]["name"]
    done = post(own, "/api/labels", {"feature": named, "action": "name", "name": "my own"}).json()
    assert (done["name"], done["doubt"], done["new"], done["labeler"]) == ("my own", 0.0, True, "human")
    assert own.get(f"/api/features/{named}").json()["label"]["name"] == "my own"
    assert "my own" in own.get(f"/feature/{named}").text
    again = post(own, "/api/labels", {"feature": named, "action": "accept"}).json()
    assert (again["new"], again["label"]) == (False, done["label"])
    rejected = post(own, "/api/labels", {"feature": named, "action": "reject"}).json()
    assert (rejected["status"], rejected["name"]) == ("uninterpretable", "")
    back = post(own, "/api/labels/undo", {"label": rejected["label"]}).json()
    assert back["name"] == "my own"
    assert post(own, "/api/labels/undo", {"label": done["label"]}).json()["name"] == before
    gone = post(own, "/api/labels/undo", {"label": done["label"]})
    assert (gone.status_code, gone.json()["hint"]) == (400, "load the page again")


def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    own: Any, named: str, post: Any, rows: Any, workspace: Path
) -> None:
    before = rows(workspace)["labels"]
    for value in (
        {"feature": named, "action": "name", "name": ""},
        {"feature": "x:1", "action": "accept"},
        {"feature": named, "action": "delete"},
        {"feature": named},
        {"feature": named, "action": "name", "name": "x" * 5000},
        [1],
    ):
        answer = post(own, "/api/labels", value)
        assert answer.status_code == 400
        assert set(answer.json()) == {"error", "hint"}
        assert "\n" not in answer.json()["error"]
    assert own.post("/api/labels", content=b"{", headers={"origin": HERE}).status_code == 400
    assert own.post("/api/labels", json={"feature": named, "action": "reject"}).status_code == 403
    assert rows(workspace)["labels"] == before


def test_while_another_process_writes_the_page_says_so(workspace: Path, named: str, post: Any) -> None:
    client = client_of(site_of(workspace))
    with WorkspaceFolder(workspace).lock():
        answer = post(client, "/api/labels", {"feature": named, "action": "reject"})
        assert client.get("/").status_code == 200
    assert answer.status_code == 409
    assert "process" in answer.json()["error"]
    assert str(workspace) not in answer.text
    assert post(client, "/api/labels", {"feature": named, "action": "reject"}).status_code == 200
