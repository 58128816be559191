"""The application as a whole: hostile text, wrong addresses, faults, and nothing of this machine in any page."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autointerp.export.gallery import visible
from tests.web.sites import HERE, NAME, client_of, site_of

HOSTILE = [
    "<script>window.hurt = 1</script>",
    '</script><img src=x onerror="window.hurt = 1">',
    "\"quoted\" 'and' `ticked` {{ 7 * 7 }} {% raw %} &lt;b&gt;",
    "right \u202eto left\u202c",
    "javascript:alert(1)",
]
PAGES = ["/", "/features", "/features?sort=score", "/features?queue=1&sort=doubt", "/compare", f"/feature/{NAME}:0"]
ANSWERS = ["/api/status", "/api/features", "/api/labelers", f"/api/features/{NAME}:0", "/api/openapi.json"]


def test_every_page_answers_with_its_policy_and_no_path_of_this_machine(client: Any, site: Any) -> None:
    folder = site.ctx.workspace.path
    for path in [*PAGES, *ANSWERS, "/feature/x:1", "/nope", "/features?layer=nope", "/api/features?min_score=x"]:
        answer = client.get(path)
        assert answer.status_code == (
            404 if "nope" in path or "x" in path.rpartition("/")[2][:1] or "=x" in path else 200
        ), path
        assert "script-src 'self'" in answer.headers["content-security-policy"], path
        for place in (str(folder), str(folder.parent), str(Path.home()) + "/", "/tmp/"):
            assert place not in answer.text, path


def test_every_page_embeds_without_the_bar_and_what_changes_labels(client: Any) -> None:
    for path in [*PAGES, "/steer", "/picture", "/jobs", "/experiments", "/truth"]:
        answer = client.get(f"{path}{'&' if '?' in path else '?'}embed")
        assert answer.status_code == 200, path
        assert '<html lang="en" class="embed">' in answer.text, path
        assert "bar-top" not in answer.text, path
        assert "frame-ancestors 'none'" not in answer.headers["content-security-policy"], path
        for form in ('id="hand"', 'id="job"'):
            assert form not in answer.text, path


def test_pages_have_no_inline_script_style_or_handler_and_no_other_host(client: Any) -> None:
    for path in PAGES:
        text = client.get(path).text
        scripts = re.findall(r"<script([^>]*)>", text)
        assert scripts
        assert all(' src="/static/' in one or ' type="application/json"' in one for one in scripts), path
        assert not re.search(r"<[^>]+\s(on\w+|style)=", text), path
        assert "<style" not in text
        assert not re.search(r"(href|src|action)=[\"'](https?:)?//", text), path


def test_hostile_words_show_as_text(workspace: Path, query: Callable[..., Any]) -> None:
    with closing(sqlite3.connect(workspace / "autointerp.db")) as db, db:
        ids = [row[0] for row in db.execute("SELECT id FROM labels WHERE status = 'ok' ORDER BY id LIMIT 5")]
        for label, text in zip(ids, HOSTILE, strict=True):
            db.execute("UPDATE labels SET name = ?, explanation = ? WHERE id = ?", (text, text, label))
        db.execute("UPDATE images SET prompt = ?", (HOSTILE[1],))
        latents = dict(
            db.execute("SELECT l.id, f.latent_index FROM labels l JOIN features f ON f.id = l.feature_id").fetchall()
        )
    client = client_of(site_of(workspace))
    listed = client.get("/features?status=ok").text
    for label in ids:
        page = client.get(f"/feature/{NAME}:{latents[label]}").text
        for markup in (page, listed, client.get("/compare").text):
            assert "<script>window" not in markup
            assert "<img src=x" not in markup
            assert "\u202e" not in markup
            assert "49" not in re.findall(r"<h1[^>]*>(.*?)</h1>", markup)
        data = re.search(r'<script type="application/json" id="drawn">(.*?)</script>', page, re.DOTALL)
        assert data is not None
        json.loads(data[1])
    said = {one["name"] for one in client.get("/api/features?status=ok&limit=200").json()["features"]}
    assert {visible(text) for text in HOSTILE} <= said


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../app.py", "/static/..%2f..%2fapp.py", "/static/%2e%2e/app.py", "/static/base.html.j2", "/static/"),
        *("/pictures/..%2f1.webp", "/pictures/999999.webp", "/dropped/..%2f..%2fetc%2fpasswd.png", "/dropped/a.png"),
        *("/feature/..%2f..%2fautointerp.toml", "/feature/", "/maps/x.json", f"/feature/{NAME}:99999999999", "/docs"),
    ],
)
def test_no_path_leads_elsewhere(client: Any, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (400, 404)
    assert "make_app" not in answer.text
    assert "root:" not in answer.text


def test_uploads_are_bounded_and_refused_in_one_line(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.web.pages import features

    def send(data: bytes, **headers: str) -> Any:
        return own.post("/pictures", content=data, headers={"origin": HERE, **headers})

    assert send(b"no picture").status_code == 400
    assert send(b"no picture").json()["error"] == "this is no picture that can be read"
    assert own.post("/pictures", content=b"x").status_code == 403
    assert own.post("/pictures", content=b"x", headers={"origin": "http://evil.example"}).status_code == 403
    bounded = features.read_bounded
    monkeypatch.setattr(features, "read_bounded", lambda stream: bounded(stream, 100))
    assert send(b"x" * 101).status_code == 413
    monkeypatch.undo()
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (220, 20, 20)).save(buffer, "PNG")
    name = send(buffer.getvalue()).json()["picture"]
    assert own.get(f"/dropped/{name}.png").headers["content-type"] == "image/png"
    assert own.get(f"/features?picture={name}").status_code == 200


def test_a_database_that_is_gone_or_broken_is_one_page(workspace: Path) -> None:
    client = client_of(site_of(workspace))
    assert client.get("/").status_code == 200
    for name in ("autointerp.db-wal", "autointerp.db-shm"):
        (workspace / name).unlink(missing_ok=True)
    (workspace / "autointerp.db").write_bytes(b"this is no database" * 400)
    client = client_of(_reopened(client))
    answer = client.get("/")
    assert answer.status_code == 503
    assert "<h1>" in answer.text
    assert str(workspace) not in answer.text
    assert "Traceback" not in answer.text
    assert set(client.get("/api/status").json()) == {"error", "hint"}


def _reopened(client: Any) -> Any:
    """The site of a client, with its database's connections closed, as after a fault."""
    site = client.app.app.state.site
    site.ctx.db.close()
    return site


def test_a_fault_of_a_page_is_one_page_too(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.web.pages import start

    def fails(ctx: Any) -> None:
        raise RuntimeError("a secret /home/me/path")

    monkeypatch.setattr(start, "read_status", fails)
    answer = own.get("/")
    assert (answer.status_code, "secret" in answer.text, "/home/me" in answer.text) == (500, False, False)
    assert "RuntimeError" in answer.text
    assert own.get("/features").status_code == 200


def test_read_only_changes_nothing_and_offers_nothing(workspace: Path, rows: Callable[[Path], Any]) -> None:
    before = rows(workspace)
    client = client_of(site_of(workspace, read_only=True))
    page = client.get(f"/feature/{NAME}:0").text
    assert 'id="hand"' not in page
    for path, value in (("/api/labels", {"feature": f"{NAME}:0", "action": "name", "name": "x"}), ("/pictures", {})):
        assert client.post(path, json=value, headers={"origin": HERE}).status_code == 403
    assert client.get("/features?q=red").status_code == 200
    assert rows(workspace) == before
    assert not (workspace / "indexes" / "questions.txt").exists()


def test_settings_that_were_changed_hold_from_the_next_page_on(workspace: Path) -> None:
    site = site_of(workspace)
    client = client_of(site)
    assert "seed" in client.get("/steer").text
    settings = workspace / "autointerp.toml"
    was = settings.read_text(encoding="utf-8")
    desk = site.desk
    settings.write_text(f"seed = 41\n{re.sub('(?m)^seed.*', '', was)}", encoding="utf-8")
    assert '"seed":41' in client.get("/steer").text
    assert site.desk is not desk
    assert client.get("/features").status_code == 200
    # A file in the middle of being written changes nothing.
    settings.write_text("seed = ", encoding="utf-8")
    assert '"seed":41' in client.get("/steer").text
