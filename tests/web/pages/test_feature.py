"""The page of one feature, its trials, what is near, and the walk through a list."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from autointerp.views.feature import read_feature
from tests.web.sites import NAME


def drawn(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="drawn">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def listed(client: Any, query: str) -> list[str]:
    return [one["feature"] for one in client.get(f"/api/features?{query}&limit=200").json()["features"]]


def test_the_json_is_that_of_show(client: Any, site: Any) -> None:
    name = listed(client, "status=ok")[0]
    shown = client.get(f"/api/features/{name}").json()
    assert shown == json.loads(json.dumps(read_feature(site.ctx, name).as_dict()))


def test_the_page_draws_crops_and_leads_to_their_pictures_and_maps(client: Any) -> None:
    name = listed(client, "status=ok")[0]
    page = client.get(f"/feature/{name}")
    found = drawn(page.text)
    assert found["crops"]
    crop = found["crops"][0]
    picture = client.get(f"/pictures/{crop[0]}.webp")
    assert picture.headers["content-type"] == "image/webp"
    assert "private" in picture.headers["cache-control"]
    assert client.get(f"/maps/{crop[7]}.json").json() == crop[6]
    more = re.search(r'href="([^"]+crops=all)"', page.text)
    if more is not None:
        assert len(drawn(client.get(more[1].replace("&amp;", "&")).text)["crops"]) > len(found["crops"])


def test_each_score_opens_its_trials(client: Any) -> None:
    name = listed(client, "sort=score&status=ok")[0]
    scores = drawn(client.get(f"/feature/{name}").text)["scores"]
    assert scores
    trials = client.get(f"/api/trials/{scores[0]['id']}").json()
    assert trials["trials"]
    assert {"truth", "holds", "value", "right", "image", "box", "kind"} <= set(trials["trials"][0])
    assert client.get("/api/trials/999999").status_code == 404


def test_the_walk_follows_the_list_that_led_there(client: Any) -> None:
    names = listed(client, "sort=strong&state=live")
    page = client.get(f"/feature/{names[2]}?sort=strong&state=live").text
    ways = dict(re.findall(r'id="(previous|next)" href="/feature/([^"?]+)', page))
    assert ways == {"previous": names[1], "next": names[3]}
    first = client.get(f"/feature/{names[0]}?sort=strong&state=live").text
    assert 'id="previous"' not in first
    # A list that cannot be read is no list, and the feature is shown.
    assert client.get(f"/feature/{names[0]}?dictionary=nope").status_code == 200


def test_near_directions(client: Any) -> None:
    name = listed(client, "state=live")[0]
    near = client.get(f"/api/near/{name}").json()["near"]
    assert near
    assert [one["cosine"] for one in near] == sorted((one["cosine"] for one in near), reverse=True)
    assert name not in [one["feature"] for one in near]
    assert client.get("/api/near/x:1").status_code == 404


def test_embedded_it_has_no_buttons(client: Any) -> None:
    page = client.get(f"/feature/{NAME}:0?embed")
    assert "<form" not in page.text
    assert "localhost:*" in page.headers["content-security-policy"]
    assert 'class="embed"' in page.text
    # What it leads to may not be framed, so it opens beside.
    assert '<base target="_blank">' in page.text


def test_the_truth_is_null_before_it_is_known(client: Any, labeled: Path) -> None:
    assert client.get(f"/api/truth/{NAME}:0").json() is None
