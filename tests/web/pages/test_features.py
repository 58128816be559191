"""The page Features, the list as JSON, and searches."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from autointerp.views.search.hits import Hit
from tests.truths import SAID, write_truths
from tests.web.sites import NAME, client_of, site_of


def first_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="first">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_holds_the_beginning_of_the_list_that_the_api_goes_on_with(client: Any) -> None:
    whole = client.get("/api/features?limit=200&sort=frequent").json()
    assert whole["total"] == len(whole["features"]) == 64
    begin = first_of(client.get("/features?sort=frequent").text)
    names = [one["feature"] for one in begin["features"]]
    assert len(names) == 48
    rest = client.get(f"/api/features?sort=frequent&after={begin['next']}").json()
    names += [one["feature"] for one in rest["features"]]
    assert rest["next"] is None
    assert names == [one["feature"] for one in whole["features"]]
    for one in whole["features"]:
        for crop in one["crops"]:
            assert str(crop[0]) in whole["pictures"]


def test_filters_of_the_address_hold(client: Any) -> None:
    named = client.get("/api/features?status=ok&limit=200").json()["features"]
    assert named
    assert all(one["name"] and one["status"] == "ok" for one in named)
    some = client.get("/api/features?density=0.01:0.1&state=live&limit=200").json()["features"]
    assert all(0.0099 <= one["density"] <= 0.1001 for one in some)
    assert client.get("/api/features?labeler=clip&limit=200").json()["total"] == len(named)
    assert client.get(f"/api/features?dictionary={NAME}&layer=mid").json()["total"] == 64
    one_each = client.get("/api/features?names=1&status=ok&limit=200").json()["features"]
    assert len({one["name"].lower() for one in one_each}) == len(one_each)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        *(("sort=scor", "did you mean 'score'"), ("state=alive", "no state"), ("min_score=2", "no score")),
        *(
            ("density=5", "no span"),
            ("dictionary=x", "no dictionary"),
            ("labeler=x", "labeler"),
            ("layer=nope", "nope"),
        ),
        *(("after=x", "no feature"), ("limit=0", "limit"), ("limit=201", "limit"), ("step=-1", "step")),
        *(("min_score=fuzzing=0.5", "no score"), ("route=x&q=red", "no route"), ("picture=../x", "gone")),
        (f"q={'x' * 1001}", "q"),
    ],
)
def test_a_wrong_address_is_one_line(client: Any, query: str, said: str) -> None:
    answer = client.get(f"/api/features?{query}")
    assert answer.status_code in (400, 404)
    found = answer.json()
    assert said in f"{found['error']} {found['hint']}"
    page = client.get(f"/features?{query}")
    assert page.status_code == answer.status_code
    assert "<h1>" in page.text


def test_search_by_text_and_by_likeness(client: Any, site: Any) -> None:
    hits = client.get("/api/search?q=striped&limit=5").json()
    assert len(hits) == 5
    assert set(hits[0]) == set(Hit("", "", "", None, None).as_dict())
    page = client.get("/features?q=striped")
    listed = first_of(page.text)["features"]
    assert [one["feature"] for one in listed][:5] == [hit["feature"] for hit in hits]
    assert 'value="striped"' in page.text
    alive = next(hit["feature"] for hit in hits)
    like = first_of(client.get(f"/features?like={alive}").text)["features"]
    assert alive not in [one["feature"] for one in like]
    assert like
    only = client.get("/api/features?q=striped&status=unlabeled&limit=200").json()["features"]
    assert all(one["status"] == "unlabeled" for one in only)
    assert client.get("/api/features?q=%20*?!").json()["error"]
    for route in ("words", "labels", "crops"):
        assert client.get(f"/features?q=red&route={route}").status_code == 200
    assert site.desk is site.desk


def test_a_queue_has_a_beginning(client: Any) -> None:
    page = client.get("/features?queue=1&sort=doubt&status=ok&state=live").text
    begin = re.search(r'id="begin" href="(/feature/[^"?]+)\?([^"]+)"', page)
    assert begin is not None
    assert first_of(page)["features"][0]["feature"] == begin[1].removeprefix("/feature/")
    assert "queue=1" in begin[2]


def test_an_empty_list_says_why(fitted: Path, workspace: Path, client: Any) -> None:
    queue = "/features?queue=1&sort=doubt&status=ok&state=live"
    unharvested = client_of(site_of(fitted))
    for path in ("/features", queue):
        page = unharvested.get(path).text
        assert "No pictures were harvested yet" in page
        assert "Open the first feature" not in page
    assert "There is no feature yet to steer by" in unharvested.get("/steer").text
    assert "There are no features yet that could be active" in unharvested.get("/picture").text
    with sqlite3.connect(workspace / "autointerp.db") as db:
        db.execute("DELETE FROM judgements")
        db.execute("DELETE FROM scores")
        db.execute("DELETE FROM labels")
    db.close()
    page = client_of(site_of(workspace)).get(queue).text
    assert "No feature has a name yet that could be checked" in page
    assert "Widen the filters" in client.get("/features?density=0.9:1&state=dead").text
    assert "Open the first feature" in client.get(queue).text


def test_a_list_of_one_kind_beside_the_truth(tmp_path: Path) -> None:
    write_truths(tmp_path / "w").workspace.close()
    client = client_of(site_of(tmp_path / "w"))
    found = client.get("/api/features?truth=too+broad").json()
    assert [(one["name"], one["truth"], one["kind"]) for one in found["features"]] == [("object", "red", "too broad")]
    assert (found["total"], found["notes"]) == (1, [])
    # Another filter holds too, and the list leads on to its own neighbours.
    assert client.get("/api/features?truth=wrong&status=unlabeled").json()["total"] == 0
    page = client.get("/features?truth=no+truth").text
    assert '<option value="no truth" selected>' in page
    whole = client.get("/api/features").json()["features"]
    assert [(one["truth"], one["name"], one["kind"]) for one in whole] == SAID
    at = client.get(f"/feature/{NAME}:1?truth=too+broad").text
    assert "<span>1 features</span>" in at or "<span>1 feature" in at
    assert client.get("/api/features?truth=nope").status_code == 404


def test_while_names_are_held_against_the_truth_the_list_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.web import listing

    write_truths(tmp_path / "w").workspace.close()
    monkeypatch.setattr(listing, "_PATIENCE", 0.0)
    site = site_of(tmp_path / "w")
    # A thread that finds nothing yet.
    monkeypatch.setattr(site.truth_lists, "_find", lambda *given: None)
    client = client_of(site)
    found = client.get("/api/features?truth=wrong").json()
    assert found["total"] == 0
    assert "are still held against the truth" in found["notes"][0]
    assert [one["kind"] for one in client.get("/api/features").json()["features"]][:6] == [
        "",
        "",
        "",
        "",
        "",
        "no truth",
    ]


def test_without_truths_there_is_no_such_filter(client: Any) -> None:
    assert 'name="truth"' not in client.get("/features").text
    assert all("truth" not in one for one in client.get("/api/features").json()["features"])
