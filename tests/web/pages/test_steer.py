"""The page Steer: what is asked of the worker, and what is refused before it is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.web.sites import HERE, NAME, Asked, client_of, site_of

ASKED = {"prompt": "a red circle", "seed": 5, "pictures": [[], [[f"{NAME}:3", 4.0]]]}


def test_the_page_offers_what_the_model_has(client: Any) -> None:
    page = client.get("/steer").text
    assert 'max="2"' in page
    assert '"grid":[12,12]' in page
    assert "paints no pictures" not in page


def test_pictures_are_queued_with_a_leash(client: Any, worker: Asked, post: Callable[..., Any]) -> None:
    mask = {"rows": 2, "cols": 2, "cells": "0110"}
    line = post(client, "/api/paint", {**ASKED, "steps": [0, 1], "mask": mask}).json()
    assert (line["state"], line["id"]) == ("waiting", "a" * 32)
    ((task, request, leash),) = worker.tickets
    assert (task, request["mask"], request["steps"]) == ("paint", mask, (0, 1))
    assert request["pictures"] == [[], [(f"{NAME}:3", 4.0)]]
    assert leash is not None
    assert post(client, "/api/paint/warm", {}).json()["task"] == "warm"


def test_a_strength_is_chosen_and_cells_are_of_another_picture(
    client: Any, worker: Asked, post: Callable[..., Any]
) -> None:
    like = {"like": "a blue star", "layer": "mid"}
    assert post(client, "/api/paint", {**ASKED, "pictures": [[[f"{NAME}:3", "auto"], like]]}).status_code == 200
    ((_, request, _),) = worker.tickets
    assert request["pictures"] == [[(f"{NAME}:3", "auto"), like]]
    page = client.get("/steer").text
    assert 'id="like"' in page
    assert '<option value="mid">mid</option>' in page


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"seed": 2**32},
        {"pictures": []},
        {"pictures": [[]] * 13},
        {"pictures": [[[f"{NAME}:3", 4.0]] * 10]},
        {"pictures": [[[f"{NAME}:3", 1e9]]]},
        {"pictures": [[[f"{NAME}:3", "NaN"]]]},
        {"pictures": [[["", 4.0]]]},
        {"pictures": [[[f"{NAME}:3", "much"]]]},
        {"pictures": [[{"like": "", "layer": "mid"}]]},
        {"pictures": [[{"like": "a star", "layer": "mid", "at": "/etc/passwd"}]]},
        {"prompt": "x" * 2001},
        {"mask": {"rows": 65, "cols": 2, "cells": "01"}},
        {"mask": {"rows": 2, "cols": 2, "cells": "01x0"}},
        {"steps": [1]},
        {"unknown": 1},
    ],
)
def test_what_is_out_of_bounds_never_reaches_the_worker(
    client: Any, worker: Asked, post: Callable[..., Any], wrong: dict[str, Any]
) -> None:
    answer = post(client, "/api/paint", {**ASKED, **wrong})
    assert (answer.status_code, worker.tickets) == (400, [])
    assert set(answer.json()) == {"error", "hint"}


def test_other_sites_and_read_only_views_paint_nothing(client: Any, worker: Asked, labeled: Path) -> None:
    assert client.post("/api/paint", json=ASKED).status_code == 403
    assert client.post("/api/paint", json=ASKED, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/api/paint", json=ASKED, headers={"origin": HERE, "host": "evil.example"}).status_code == 400
    long = {**ASKED, "prompt": "x" * 2**19}
    assert client.post("/api/paint", json=long, headers={"origin": HERE}).status_code == 413
    assert worker.tickets == []
    readers = client_of(site_of(labeled, read_only=True))
    assert "paints no pictures" in readers.get("/steer").text
    for path in ("/api/paint", "/api/paint/warm", "/api/reading"):
        assert readers.post(path, json=ASKED, headers={"origin": HERE}).status_code == 403


def test_a_feature_to_steer_by_is_told(client: Any) -> None:
    found = client.get(f"/api/steered/{NAME}:3").json()
    assert (found["feature"], found["layer"]) == (f"{NAME}:3", "mid")
    assert client.get(f"/api/steered/{NAME}:99999").status_code == 404


def test_an_icon_is_painted_on_demand_and_then_known(
    client: Any, site: Any, worker: Asked, post: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    icon = f"/api/icons/{NAME}:3"
    assert client.get(icon).json() is None
    assert post(client, icon, {}).json()["task"] == "paint"
    ((_, request, _),) = worker.tickets
    assert request["prompt"] == ""
    assert request["pictures"] == [[], *([(f"{NAME}:3", strength)] for strength in (2.0, 4.0, 8.0))]
    assert client.get(icon).json()["id"] == "a" * 32
    assert client.get(f"/api/icons/{NAME}:4").json() is None
    monkeypatch.setattr(worker, "tickets", [])
    assert client.get(icon).json() is None, "the worker has forgotten it"
    assert client.get(f"/api/icons/{NAME}:99999").status_code == 404
    page = client.get(f"/feature/{NAME}:3").text
    assert 'id="paint-icon"' in page
    assert "/steer?with=" in page
    assert 'id="icon"' not in client.get(f"/feature/{NAME}:3?embed").text
