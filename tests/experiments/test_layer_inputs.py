from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp import Workspace
from autointerp.dictionaries.protocol import SparseCode
from autointerp.errors import AutointerpError
from autointerp.experiments import layer_inputs
from autointerp.experiments.layer_inputs import LayerInputs, columns, layers_with_dictionaries, says
from autointerp.project.context import Context


def test_columns_of_a_code() -> None:
    code = SparseCode(torch.tensor([[3.0, 1.0, 0.0], [2.0, 0.0, 0.0]]), torch.tensor([[4, 0, 0], [1, 0, 0]]))
    assert columns(code, np.array([0, 4]), 6).tolist() == [[1.0, 3.0], [0.0, 0.0]]
    assert columns(code, np.arange(6), 6)[1].tolist() == [0, 2, 0, 0, 0, 0]
    assert columns(code, np.array([], np.int64), 6).shape == (2, 0)


@pytest.mark.parametrize(
    ("name", "concept", "said"),
    [
        ("red circle", "red", True),
        ("edge of objects", "object", True),
        ("reddish", "red", False),
        ("striped, not red", "red", False),
        ("night background", "night", True),
        ("", "red", False),
    ],
)
def test_what_a_name_says(name: str, concept: str, said: bool) -> None:
    assert says(name, concept) is said


@pytest.fixture
def mid(labeled: Path) -> LayerInputs:
    ctx = Context(Workspace(labeled))
    (found,) = layers_with_dictionaries(ctx, ctx, [])
    return found


def test_every_alias_with_a_dictionary_is_read(mid: LayerInputs, labeled: Path) -> None:
    assert mid.layer.name == "mid"
    ctx = Context(Workspace(labeled))
    with pytest.raises(AutointerpError, match="layer late has no dictionary here"):
        layers_with_dictionaries(ctx, ctx, ["mid", "late"])


def test_of_a_large_dictionary_the_densest_latents_are_read(mid: LayerInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_inputs, "MOST_LATENTS", 5)
    few = LayerInputs(mid.ctx, mid.layer, mid.row)
    code = mid.dictionary.encode(torch.randn(2000, mid.row.d_in))
    assert len(few.latents) == 5
    assert list(few.latents) == sorted(few.latents)
    assert few.codes(torch.randn(3, mid.row.d_in), 1).shape == (3, 5)
    assert code.latent_acts.shape[1] == 2


def test_a_map_is_the_strongest_of_the_features_that_say_the_concept(mid: LayerInputs) -> None:
    acts = torch.randn(50, mid.row.d_in) * 20
    words = [mid.named[0].name.split()[-1], "giraffe"]
    maps = mid.maps(acts, 1, words)
    code = mid.dictionary.encode(acts, 1)
    dense = columns(code, np.arange(mid.row.num_latents), mid.row.num_latents)
    # The threshold is a quarter of the maximum, so a share of 1 is the maximum.
    shares = [dense[:, one.latent] / one.threshold / 4 for one in mid.named if says(one.name, words[0])]
    assert torch.allclose(maps[:, 0], torch.stack(shares).amax(0), atol=1e-5)
    assert maps[:, 1].abs().max() == 0
    shuffled = mid.maps(acts, 1, words, shuffled=True)
    assert torch.equal(shuffled, mid.maps(acts, 1, words, shuffled=True))
    mid.set_control(acts, 0)
    assert mid.random_codes(acts, 1).shape == (50, 64)
