"""Evidence is the stored crops: in their order, of the split that is asked for, and of other features where drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.workspace import WorkspaceFolder

Query = Callable[..., list[Any]]
SHOWN = " AND NOT (role = 'quantile' AND quantile IS NULL)"
"""What is kept for a sample of active cells alone is read by `cell_samples`."""


@pytest.fixture(scope="module")
def reader(labeled: Path) -> EvidenceReader:
    ctx = Context(WorkspaceFolder(labeled))
    return EvidenceReader(ctx.db, ctx.dictionary_named("shapes-turbo.mid.topk"))


@pytest.fixture(scope="module")
def latents(reader: EvidenceReader) -> dict[int, int]:
    """Latent index of the live features, by id."""
    with reader.db.session() as session:
        rows = queries.features.of_dictionary(session, reader.dictionary.id, "live")
    return {row.id: row.latent_index for row in rows[:8]}


def test_crops_come_in_their_stored_order(
    reader: EvidenceReader, latents: dict[int, int], labeled: Path, query: Query
) -> None:
    feature = next(iter(latents))
    rows = query(labeled, f"SELECT id, role, rank, split, neighbour FROM crops WHERE feature_id = {feature}{SHOWN}")
    order = {"top": 0, "quantile": 1, "negative": 2}
    rows.sort(key=lambda row: (order[row[1]], row[2], row[0]))
    for split in ("explain", "score", None):
        for hard in (False, True):
            expected = [r[0] for r in rows if split in (None, r[3]) and (r[4] is not None) == hard]
            crops = reader.crops([feature], split, hard)[feature]
            assert [crop.crop_id for crop in crops] == expected


def test_evidence_for_scores_has_the_parts_that_are_needed(reader: EvidenceReader, latents: dict[int, int]) -> None:
    found = reader.for_scores(latents, {"firing", "silent", "others", "foreign"}, seed=1)
    assert list(found) == list(latents)
    own = {crop.crop_id for crops in reader.crops(list(latents)).values() for crop in crops}
    for feature, evidence in found.items():
        assert evidence.seen == evidence.hard == ()
        assert all(crop.role != "negative" and crop.activation > 0 for crop in evidence.firing)
        assert all(crop.role == "negative" and crop.activation == 0 for crop in evidence.silent)
        mine = {crop.crop_id for crop in reader.crops([feature])[feature]}
        assert mine <= own
        assert not mine & {crop.crop_id for crop in (*evidence.others, *evidence.foreign)}
        assert len(evidence.others) <= 5
        silent = {crop.image_id for crop in evidence.silent}
        assert all(crop.activation > 0 for crop in evidence.foreign)
        assert len({crop.image_id for crop in evidence.foreign} & silent) > 0 or not evidence.foreign
    # Another draw takes others, and the same draw the same.
    assert reader.for_scores(latents, {"others"}, seed=1) != reader.for_scores(latents, {"others"}, seed=2)
    again = reader.for_scores(latents, {"others"}, seed=1)
    assert [[c.crop_id for c in e.others] for e in again.values()] == [
        [c.crop_id for c in e.others] for e in found.values()
    ]


def test_the_context_is_a_sample_of_the_explain_split(reader: EvidenceReader, labeled: Path, query: Query) -> None:
    explain = {
        i for (i,) in query(labeled, f"SELECT id FROM crops WHERE split = 'explain' AND role != 'negative'{SHOWN}")
    }
    whole = reader.context()
    assert {crop.crop_id for crop in whole.crops} == explain
    some = reader.context(count=10)
    assert len(some.crops) == 10
    assert {crop.crop_id for crop in some.crops} < explain
    assert some.prompts == whole.prompts


def test_prompts_are_cut_to_what_the_model_saw(reader: EvidenceReader, latents: dict[int, int]) -> None:
    cut = EvidenceReader(reader.db, reader.dictionary, lambda prompt: prompt.split()[0])
    feature = next(iter(latents))
    whole = reader.crops([feature])[feature]
    assert [crop.prompt for crop in cut.crops([feature])[feature]] == [crop.prompt.split()[0] for crop in whole]
    assert any(" " in prompt for prompt in reader.context(10).prompts)
    assert not any(" " in prompt for prompt in cut.context(10).prompts)
