"""The commands in half precision: numbers stay finite, and an edit that float16 does not hold is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.diffusion.edits import Change, Edit, add_vector, replace
from autointerp.diffusion.generation import generate
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.loading import load_model
from autointerp.errors import AutointerpError
from tests.diffusion import tiny
from tests.diffusion.helpers import JOBS, settings_of as generation_of
from tests.pretend_gpu.device import NAME
from tests.pretend_gpu.sides import pictures, settings_of

HALVES = ["float16", "bfloat16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tiny.flux, tmp_path_factory.mktemp("models") / "flux")


@pytest.mark.parametrize("dtype", HALVES)
def test_commands(dtype: str, folder: Path, tmp_path: Path, small_parts: None, cli: Any, query: Any) -> None:
    settings = settings_of(folder).replace("steps = 2\n", "steps = 6\n")
    settings = settings.replace('dtype = "float32"', f'dtype = "{dtype}"\ndevice = "{NAME}"')
    (tmp_path / "autointerp.toml").write_text(settings)

    def run(*arguments: object) -> str:
        done = cli("-w", tmp_path, *arguments)
        assert done.code == 0, f"{arguments}: {done.err}"
        return str(done.out)

    run("-q", "fit", "--layer", "mid", "--kind", "itda", "--kind", "jumprelu", "--kind", "topk")
    run("-q", "label", "--layer", "mid", "--dictionary", "flux.mid.topk")
    for fvu, l0 in query(tmp_path, "SELECT fvu, l0 FROM dictionaries"):
        assert 0 < fvu < 10
        assert l0 > 0
    activations = [a for (a,) in query(tmp_path, "SELECT activation FROM crops WHERE role = 'top'")]
    assert activations
    assert all(0 < a < 1e4 for a in activations)
    found = json.loads(run("-q", "evaluate", "--layer", "mid", "--dictionary", "flux.mid.topk", "--json"))
    assert 0 < found["fvu"] < 10
    assert found["loss_recovered"] is not None
    ((latent,),) = query(
        tmp_path,
        "SELECT latent_index FROM features f JOIN dictionaries d ON d.id = f.dictionary_id"
        " WHERE d.name = 'flux.mid.topk' AND f.state = 'live' LIMIT 1",
    )
    run("steer", f"flux.mid.topk:{latent}", "--prompt", "a red circle", "-o", tmp_path / "s.png")
    run("explain", next(pictures(tmp_path).iterdir()), "--invert", "--all")


def replaced(vector: torch.Tensor) -> Change:
    return replace(lambda acts, _step: vector.expand_as(acts))


@pytest.mark.parametrize("change", [add_vector, replaced], ids=["added", "replaced"])
def test_an_edit_beyond_float16_ends_the_run_with_what_helps(
    change: Callable[[torch.Tensor], Change], folder: Path
) -> None:
    model = load_model(str(folder), device=NAME, dtype="float16")
    layer = resolve_layer(model, "mid", signal="output")
    edit = Edit(layer, change(torch.full((layer.d_in,), 1e6, device=NAME)))
    with pytest.raises(AutointerpError, match="--dtype"):
        list(generate(model, JOBS, generation_of(model), edits=[edit]))
