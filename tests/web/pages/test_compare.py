"""The page Compare."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autointerp.views.compare import compare_dictionaries
from autointerp.views.labelers import list_labelers
from tests.views.models_compared import REPORT, store_comparison
from tests.web.sites import NAME, client_of, site_of


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


def test_the_page_does_not_wait_for_means_over_all_labels(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.web.pages import compare

    monkeypatch.setattr(compare, "list_labelers", lambda ctx: pytest.fail("the page waits"))
    page = client.get("/compare").text
    assert 'data-from="/api/labelers"' in page
    assert "It takes two labelers." in page


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


def test_two_models(workspace: Any, named: str) -> None:
    site = site_of(workspace)
    client = client_of(site)
    page = client.get("/compare").text
    assert "autointerp compare DICTIONARY --model OTHER" in page
    assert client.get("/api/compare/models").json() == []
    store_comparison(site.ctx, int(named.rpartition(":")[2]))
    page = client.get("/compare").text
    assert "shapes beside shapes-turbo" in page
    assert "Fire more" not in page
    page = client.get(f"/compare?models={REPORT}").text
    assert page.index("Fire more") < page.index("Fire no more")
    assert f'href="/feature/{named}"' in page
    assert "2.00%</td><td>5.00%</td><td>+3.00% <small>(+2.00 to +4.00)" in page
    assert "<iframe" not in page
    folder = site.ctx.workspace.experiments_dir / REPORT
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<p>side by side</p>")
    answer = client.get(f"/compare?models={REPORT}")
    assert f'sandbox="" src="/experiments/{REPORT}/report?part=pictures"' in answer.text
    assert "frame-src 'self'" in answer.headers["content-security-policy"]
    report = client.get(f"/experiments/{REPORT}/report")
    assert "frame-ancestors 'self'" in report.headers["content-security-policy"]
    (told,) = client.get("/api/compare/models").json()
    assert (told["experiment"], told["counts"]["gone"]) == (REPORT, 1)
    assert "no finished comparison" in client.get("/compare?models=nope").text
