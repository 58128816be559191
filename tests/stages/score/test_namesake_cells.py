"""Cells of namesakes, from the command line to the rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autointerp.crops.maps import decode_map
from autointerp.labeling.namesakes import NAMESAKES

Cli = Callable[..., Any]
Query = Callable[..., list[Any]]

_FEATURE = "SELECT f.id, f.max_activation, l.name, l.labeler_id FROM features f JOIN labels l ON l.feature_id = f.id"


def test_cells_are_of_namesakes_and_not_known_to_be_the_features_own(workspace: Path, cli: Cli, query: Query) -> None:
    done = cli("-w", workspace, "score", "--layer", "mid", "--method", "apart", "--judge", "reader")
    assert done.code == 0, done.err
    features = {row[0]: row[1:] for row in query(workspace, _FEATURE)}
    rows = query(
        workspace,
        "SELECT j.kind, j.truth, j.shown, c.split, c.feature_id, l.feature_id, c.image_id, s.id FROM judgements j"
        " JOIN scores s ON s.id = j.score_id JOIN labels l ON l.id = s.label_id JOIN crops c ON c.id = j.crop_id"
        " WHERE s.method = 'apart' AND NOT s.shuffled",
    )
    maps = {
        (feature, image): decode_map(heat)
        for feature, image, heat in query(
            workspace, "SELECT feature_id, image_id, activation_map FROM crops WHERE activation_map IS NOT NULL"
        )
    }
    assert {row[0] for row in rows} == {"active", "namesake"}
    beside: dict[int, set[int]] = {}
    known = 0
    for kind, truth, shown, split, crop_of, feature, image, score in rows:
        shown = json.loads(shown) if isinstance(shown, str) else shown
        assert split == "score"
        assert set(shown) == {"box", "cell"}
        assert bool(truth) == (kind == "active") == (crop_of == feature)
        heat = maps.get((feature, image))
        if heat is not None and kind == "namesake":
            known += 1
            assert heat[tuple(shown["cell"])] <= 0.25 * features[feature][0] * (1 + 1e-6)
        if kind == "namesake":
            beside.setdefault(score, set()).add(crop_of)
            assert features[crop_of][2] == features[feature][2]
    assert known
    assert max(map(len, beside.values())) <= NAMESAKES
    # A name that no other feature has nearly has nothing to be told from.
    notes = query(workspace, "SELECT note FROM scores WHERE method = 'apart' AND value IS NULL")
    assert all("nearly the same name" in note for (note,) in notes)
