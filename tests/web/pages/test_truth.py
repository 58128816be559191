"""The page Truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.truths import write_truths
from tests.web.sites import client_of, site_of


def known(path: Path) -> Any:
    """A client of a site whose verdicts are all found."""
    write_truths(path).workspace.close()
    site = site_of(path)
    client = client_of(site)
    assert client.get("/truth").status_code == 200
    site.truth_lists.wait()
    return client


def test_each_kind_has_its_features_with_the_truth_beside_the_name(tmp_path: Path) -> None:
    client = known(tmp_path / "w")
    page = client.get("/truth").text
    for kind in ("exact", "too broad", "too narrow", "overlapping", "wrong", "no truth", "no name"):
        assert f"1 {kind}</a>" in page
    found = client.get("/api/truths?kind=too+broad").json()
    assert (found["done"], found["total"], found["next"]) == (7, 7, None)
    assert [(one["name"], one["truth"], one["kind"]) for one in found["features"]] == [("object", "red", "too broad")]
    only = client.get("/truth?kind=wrong").text
    assert "The name does not hold where the truth does." in only
    assert "The name says the truth." not in only


def test_until_verdicts_are_found_the_page_says_how_far_it_is(tmp_path: Path) -> None:
    write_truths(tmp_path / "w").workspace.close()
    page = client_of(site_of(tmp_path / "w")).get("/truth").text
    assert "of 7</span>" in page or "1 exact</a>" in page


def test_without_truths_it_says_what_to_do(tmp_path: Path) -> None:
    write_truths(tmp_path / "w", evaluated=False).workspace.close()
    client = client_of(site_of(tmp_path / "w"))
    assert "autointerp evaluate --layer mid" in client.get("/truth").text
    assert client.get("/api/truths").json()["features"] == []
    settings = tmp_path / "w" / "autointerp.toml"
    settings.write_text(settings.read_text().replace('model = "shapes-turbo"', 'model = "some/model"'))
    page = client_of(site_of(tmp_path / "w")).get("/truth").text
    assert "The truth is not known here" in page
    assert 'href="/truth"' not in page


def test_wrong_kinds_and_dictionaries_are_refused(tmp_path: Path) -> None:
    client = known(tmp_path / "w")
    assert client.get("/truth?kind=nope").status_code == 404
    assert client.get("/truth?dictionary=nope").status_code == 404
    assert client.get("/api/truths?kind=exact&after=-1").status_code == 400
