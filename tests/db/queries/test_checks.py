"""Rows of a whole database, streamed as values."""

from __future__ import annotations

from typing import Any

import pytest

from autointerp.db.queries import checks


def test_rows_are_the_same_whatever_their_number_in_memory(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> list[Any]:
        with filled.session() as session:
            return [
                *checks.pictures(session),
                *checks.crops(session),
                *checks.latent_ranges(session),
                *checks.weights_hashes(session),
            ]

    whole = read()
    monkeypatch.setattr(checks, "ROWS", 2)
    monkeypatch.setattr(checks, "PICTURES", 1)
    assert read() == whole
    assert len(whole) == 6 + 6 + 1 + 1


def test_crops_have_their_picture_and_stream(filled: Any) -> None:
    with filled.session() as session:
        crops = list(checks.crops(session))
        assert checks.count_rows(session) == 12
    assert {(crop.width, crop.height, crop.stream, crop.box) for crop in crops} == {(8, 8, "image", (0, 0, 8, 8))}
    assert [crop.crop_id for crop in crops] == sorted(crop.crop_id for crop in crops)


def test_a_range_of_features_is_whole_after_a_harvest_alone(filled: Any) -> None:
    with filled.session() as session:
        (found,) = checks.latent_ranges(session)
        assert not checks.harvest_is_unfinished(session)
        assert list(checks.unused_images(session)) == []
    assert found == checks.LatentRange("shapes-turbo.mid.topk", 4, 4, 0, 3, False)
