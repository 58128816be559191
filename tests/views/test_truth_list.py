"""Features by what their names are beside the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import UsageError
from autointerp.views.catalog import FeatureCatalog
from autointerp.views.known_truths import KnownTruths
from autointerp.views.truth_list import KINDS, TruthLists
from tests.truths import SAID, write_truths

NAME = "shapes-turbo.mid.topk"


def test_every_kind_is_found_and_nobody_waits_for_it(tmp_path: Path) -> None:
    ctx = write_truths(tmp_path / "w")
    lists = TruthLists(KnownTruths(ctx))
    assert lists.dictionaries() == [NAME]
    with ctx.db.session() as session:
        catalog = FeatureCatalog.read(session)
    first = lists.get(NAME, catalog)
    assert first is not None
    lists.wait()
    # What needs no verdict is known from the beginning; the features without a name and a truth are left out.
    assert first.total == 7
    assert 2 <= first.done <= 7
    found = lists.get(NAME, catalog)
    assert found is not None
    assert found.is_whole
    assert found.counts == dict.fromkeys(KINDS, 1)
    for kind, places in found.places.items():
        (place,) = places
        truth, name, expected = SAID[int(catalog.latents[place])]
        assert (expected, found.truths.get(place, ""), catalog.names[place]) == (kind, truth, name)
    with pytest.raises(UsageError, match="no dictionary"):
        lists.get("nope", catalog)


def test_a_new_name_is_held_against_the_truth(tmp_path: Path) -> None:
    ctx = write_truths(tmp_path / "w")
    lists = TruthLists(KnownTruths(ctx))
    with ctx.db.session() as session:
        catalog = FeatureCatalog.read(session)
    lists.get(NAME, catalog)
    lists.wait()
    place = catalog.names.index("blue")
    catalog.names[place] = "red"
    lists.get(NAME, catalog)
    lists.wait()
    found = lists.get(NAME, catalog)
    assert found is not None
    assert (found.counts["exact"], found.counts["wrong"]) == (2, 0)


def test_without_an_evaluation_there_is_no_list(tmp_path: Path) -> None:
    ctx = write_truths(tmp_path / "w", evaluated=False)
    lists = TruthLists(KnownTruths(ctx))
    with ctx.db.session() as session:
        catalog = FeatureCatalog.read(session)
    assert lists.dictionaries() == []
    assert lists.get(NAME, catalog) is None
