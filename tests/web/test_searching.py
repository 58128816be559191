"""The desk that answers searches of many readers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from autointerp.transfer.label_files.by_hand import name_by_hand
from autointerp.transfer.label_files.storing import HandLabel
from autointerp.views.search.question import SearchQuestion
from tests.web.sites import site_of


def test_a_new_name_is_found_by_the_next_search(workspace: Path, named: str) -> None:
    site = site_of(workspace)
    asked = SearchQuestion(text="zebra crossing")
    before = site.desk.find(asked)
    assert before.notes == []
    assert named != before.hits[0].feature or before.hits[0].name != "zebra crossing"
    opened = site.desk._searcher
    site.desk.find(asked)
    assert site.desk._searcher is opened
    name_by_hand(site.ctx, HandLabel(named, "zebra crossing"))
    found = site.desk.find(asked)
    assert (found.hits[0].feature, found.hits[0].name) == (named, "zebra crossing")
    assert "labels" in found.hits[0].ranks


def test_many_ask_at_once(site: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: site.desk.find(SearchQuestion(text=["red", "blue"][n % 2])).hits, range(16)))
    assert all(hits == found[0] for hits in found[::2])
    assert all(hits == found[1] for hits in found[1::2])
