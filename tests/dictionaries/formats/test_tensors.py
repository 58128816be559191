"""Parts of a file that could each be a dictionary, and words that wrappers put before names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.dictionaries.formats.tensors import Tensors, matching, parts_of
from autointerp.errors import AutointerpError

NAMES = ("W_enc", "b")
PATH = Path("sae.pt")


def state(prefix: str = "", **more: Any) -> dict[str, Any]:
    return {f"{prefix}W_enc": torch.ones(2, 3), f"{prefix}b": torch.ones(3), **more}


def found(content: Any) -> list[tuple[str, list[str]]]:
    """(part, its names) of each group with the names."""
    return [(group.part, sorted(group.found)) for part in parts_of(PATH, content) for group in matching(part, NAMES)]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (state(), "top"),
        (state("module."), "top"),
        (state("_orig_mod."), "top"),
        (state("module._orig_mod."), "top"),
        (state("_orig_mod.module."), "top"),
        (state("_fsdp_wrapped_module."), "top"),
        (state("sae."), "sae"),
        (state("model.sae."), "model.sae"),
        (state("module.sae."), "sae"),
        ({"state_dict": state()}, "state_dict"),
        ({"model": state(), "step": 3}, "model"),
        ({"checkpoint": {"model": state()}}, "checkpoint.model"),
        ({"model": state("module.")}, "model"),
        ([state()], "0"),
    ],
)
def test_one_dictionary_is_reached_through_its_wrappers(content: Any, part: str) -> None:
    assert found(content) == [(part, ["W_enc", "b"])]
    (group,) = [group for tensors in parts_of(PATH, content) for group in matching(tensors, NAMES)]
    assert bool(group.notes) == (content.keys() != {"W_enc", "b"} if isinstance(content, dict) else True)
    assert all(PATH.name in note for note in group.notes)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"layer_0": state(), "layer_1": state()}, ["layer_0", "layer_1"]),
        ({"model": state(), "ema": state()}, ["model", "ema"]),
        ({**state(), "best": state()}, ["top", "best"]),
        ([state(), state()], ["0", "1"]),
        ({**state("saes.0."), **state("saes.1.")}, ["saes.0", "saes.1"]),
        ({**state(), **state("ema.")}, ["top", "ema"]),
        ({**state(), **state("module.")}, ["top", "module"]),
        ({"layers": {"0": state(), "1": state()}}, ["layers.0", "layers.1"]),
    ],
)
def test_several_stay_several(content: Any, parts: list[str]) -> None:
    assert [part for part, _ in found(content)] == parts


def test_a_wrapper_inside_a_name_is_left_out_too() -> None:
    tensors = Tensors(PATH, {"encoder._orig_mod.weight": torch.ones(2, 3), "b": torch.ones(3)})
    (group,) = matching(tensors, ("encoder.weight", "b"))
    assert "'_orig_mod.'" in group.notes[0]


def test_what_lies_beside_a_prefix_is_said() -> None:
    (group,) = matching(Tensors(PATH, state("sae.", threshold=torch.ones(3))), NAMES)
    assert group.notes == ("sae.pt: the tensors whose names begin with 'sae.' are taken, not the 1 beside them",)
    content = {"ae": state(), "norm_factor": torch.tensor(3.0), "optimizer": {"state": {}}}
    (group,) = [group for part in parts_of(PATH, content) for group in matching(part, NAMES)]
    assert float(group.beside["norm_factor"]) == 3


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (torch.ones(2, 3, dtype=torch.int8), "holds int8 values, no weights"),
        (torch.ones(2, 3, dtype=torch.complex64), "holds complex64 values"),
        (torch.full((2, 3), torch.nan), "not finite"),
        (torch.ones(3, 2), "as if it were transposed"),
        (torch.ones(2, 3, device="meta"), "no plain tensor"),
        (torch.ones(2, 3).to_sparse(), "no plain tensor"),
    ],
)
def test_tensors_that_cannot_be_weights(tensor: torch.Tensor, says: str) -> None:
    with pytest.raises(AutointerpError, match=says):
        Tensors(PATH, {"W": tensor}).take("W", 2, 3)


def test_half_precision_becomes_float32() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn):
        taken = Tensors(PATH, {"W": torch.ones(2, 3).to(dtype)}).take("W", 2, 3)
        assert (taken.dtype, float(taken.sum())) == (torch.float32, 6)
    assert Tensors(PATH, {"k": torch.tensor(4)}).number("k") == 4
