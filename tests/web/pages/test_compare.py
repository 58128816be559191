"""The page Compare."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autointerp.views.compare import compare_dictionaries
from autointerp.views.labelers import list_labelers
from tests.web.sites import NAME


def test_two_dictionaries(client: Any, site: Any) -> None:
    found = client.get(f"/api/compare?one={NAME}&other={NAME}").json()
    assert found == json.loads(json.dumps(compare_dictionaries(site.ctx, NAME, NAME).as_dict()))
    page = client.get(f"/compare?one={NAME}&other={NAME}").text
    assert "64 pairs are each other&#39;s nearest" in page or "64 pairs are each other's nearest" in page


def test_a_wrong_name_is_a_line_on_the_page(client: Any) -> None:
    page = client.get(f"/compare?one={NAME}&other=nope")
    assert (page.status_code, "no dictionary" in page.text) == (200, True)
    assert client.get("/api/compare?one=a&other=b").status_code == 404
    assert client.get("/api/compare").status_code == 400
    assert "one labeler" in client.get("/compare?labeler=clip&beside=clip").text


def test_labelers_are_listed(client: Any, site: Any) -> None:
    assert client.get("/api/labelers").json() == [one.as_dict() for one in list_labelers(site.ctx)]
    assert "<bdi>clip" in client.get("/compare").text


def test_labelers_are_read_again_only_where_labels_changed(
    own: Any, post: Any, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.web.pages import compare

    read = list[int]()

    def reading(ctx: Any) -> Any:
        read.append(1)
        return list_labelers(ctx)

    monkeypatch.setattr(compare, "list_labelers", reading)
    first = own.get("/api/labelers").json()
    assert (own.get("/api/labelers").json(), len(read)) == (first, 1)
    assert post(own, "/api/labels", {"feature": named, "action": "name", "name": "mine"}).status_code == 200
    assert len(own.get("/api/labelers").json()) == len(first) + 1
    page = own.get("/compare?labeler=clip&beside=human").text
    assert "Both looked at <b>1</b>" in page
