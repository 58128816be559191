"""A dictionary is compared with a permuted copy of itself, whose matches are known."""

from __future__ import annotations

import pytest
import torch

from autointerp.db import queries
from autointerp.dictionaries.sae import TopK
from autointerp.dictionaries.storage import save_dictionary
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.views.compare import compare_dictionaries

from .conftest import NAME, a_dictionary

ORDER = [2, 0, 3, 1]
"""Latent i of the copy is latent ORDER[i] of the first."""


@pytest.fixture
def both(small: Context) -> Context:
    directions = torch.eye(8)[:4] + 0.1
    digests = {}
    for name, wanted in ((NAME, directions), ("copy", directions[ORDER])):
        weights = TopK(wanted.T.contiguous(), torch.zeros(4), wanted.contiguous(), torch.zeros(8), 2)
        digests[name] = save_dictionary(weights, small.workspace.dictionary_dir(name), {})
    with small.db.session() as session:
        first = queries.dictionaries.by_name(session, NAME)
        assert first is not None
        first.weights_sha256 = digests[NAME]
        session.add(a_dictionary("copy", "late", weights_sha256=digests["copy"]))
        session.add(a_dictionary("wide", "early", d_in=16))
    return small


def test_matches_are_those_of_the_permutation(both: Context) -> None:
    found = compare_dictionaries(both, NAME, "copy")
    assert (found.dictionaries, found.features, found.jaccard, found.mutual) == ((NAME, "copy"), (4, 4), None, 4)
    assert found.mean_cosine == pytest.approx((1, 1))
    assert found.above == (1, 1)
    pairs = {pair.features[0]: pair for pair in found.pairs}
    assert {first: pair.features[1] for first, pair in pairs.items()} == {
        f"{NAME}:{old}": f"copy:{new}" for new, old in enumerate(ORDER)
    }
    assert pairs[f"{NAME}:0"].names == ("red circle", None)
    keys = ["dictionaries", "features", "jaccard", "mean_cosine", "above_0.9", "mutual", "pairs"]
    assert list(found.as_dict()) == keys
    assert list(found.as_dict()["pairs"][0]) == ["features", "cosine", "names"]


def test_layers_of_other_widths_cannot_be_compared(both: Context) -> None:
    with pytest.raises(UsageError, match="reads 8 dimensions and wide 16"):
        compare_dictionaries(both, NAME, "wide")
