"""Values that are not finite stop a run before anything is stored."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autointerp.diffusion.edits import Edit, add_vector, replace
from autointerp.diffusion.finite import FiniteFlags, NotFiniteError
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import ImageJob, RealPicture
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.model import Model
from autointerp.diffusion.real import encode_pictures
from autointerp.diffusion.sources.hashes import hash_file
from autointerp.diffusion.splicing import splice_images
from tests.diffusion.helpers import JOBS, Folders, Models, copied, hooks_on, real_settings, settings_of


@contextmanager
def bent(weight: torch.Tensor, value: float) -> Iterator[None]:
    kept = weight.detach().clone()
    weight.view(-1)[0].fill_(value)
    try:
        yield
    finally:
        weight.copy_(kept)


def refusal_of(run: Callable[[], Any]) -> str:
    with pytest.raises(NotFiniteError) as raised:
        run()
    assert "--dtype" in raised.value.hint
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("family", ["sd", "sdxl", "flux", "sd3", "pixart"])
def test_pictures_of_an_autoencoder(tiny_model: Models, family: str, value: float) -> None:
    model = tiny_model(family)
    with bent(model.pipeline.vae.decoder.conv_out.bias, value):
        says = refusal_of(lambda: list(generate(model, JOBS, settings_of(model))))
    assert "the autoencoder of" in says
    assert "so are 1 of its" in says
    assert "another autoencoder" in says
    assert "decode" not in vars(model.pipeline.vae)
    assert hooks_on(model) == 0
    assert len(list(generate(model, JOBS, settings_of(model)))) == 1


def test_a_decoder_that_overflows_without_a_weight_at_fault(tiny_model: Models) -> None:
    model = tiny_model("sd")

    def overflow(_module: Any, _args: Any, output: torch.Tensor) -> torch.Tensor:
        return output * 1e38 * 1e38

    handle = model.pipeline.vae.decoder.register_forward_hook(overflow)
    try:
        says = refusal_of(lambda: list(generate(model, JOBS, settings_of(model))))
    finally:
        handle.remove()
    assert "made pictures that are not finite: use --dtype" in says


def test_latents(tiny_model: Models) -> None:
    """Nothing is captured, so only what is decoded tells."""
    model = tiny_model("sd")
    with bent(model.pipeline.unet.conv_out.bias, float("inf")):
        assert "latents that are not finite" in refusal_of(lambda: list(generate(model, JOBS, settings_of(model))))


def test_real_pictures(tiny_model: Models, photos: Path) -> None:
    from PIL import Image

    model = tiny_model("sd")
    path = photos / "a.png"
    with bent(model.pipeline.vae.encoder.conv_in.bias, float("nan")):
        says = refusal_of(lambda: encode_pictures(model, [Image.open(path)]))
    assert "encoded real pictures to latents that are not finite" in says
    job = ImageJob(0, "", 1, picture=RealPicture(path, hash_file(path)))
    layer = resolve_layer(model, "mid")
    edit = {"none": Edit(layer, replace(lambda acts, _step: acts))}
    with bent(model.pipeline.unet.conv_out.bias, float("nan")):
        says = refusal_of(lambda: list(splice_images(model, [job], real_settings(model), edit, (2,))))
    assert "predictions that are not finite" in says


@pytest.mark.parametrize("strength", [float("inf"), float("nan")])
def test_an_edit_that_is_too_strong(tiny_model: Models, strength: float) -> None:
    model = tiny_model("sd")
    layer = resolve_layer(model, "mid", signal="output")
    edit = Edit(layer, add_vector(torch.full((layer.d_in,), strength)))
    with pytest.raises(
        NotFiniteError, match=f"the edit of {layer.hookpoint} gave activations that are not finite"
    ) as got:
        list(generate(model, JOBS, settings_of(model), edits=[edit]))
    assert got.value.hint == "make it weaker"
    assert hooks_on(model) == 0


def test_an_edit_that_half_precision_does_not_hold(tiny_model: Models, tiny_folder: Folders) -> None:
    """100,000 is a number in float32, and infinite in float16: pictures would be black."""
    from autointerp.diffusion.loading import load_model

    loaded = load_model(str(tiny_folder("sd")), device="cpu", dtype="float32")
    loaded.pipeline.to(torch.float16)
    model: Model = dataclasses.replace(loaded, dtype=torch.float16)
    layer = resolve_layer(model, "mid", signal="output")
    settings = settings_of(model)

    def pictures(strength: float) -> list[np.ndarray]:
        edit = Edit(layer, add_vector(torch.full((layer.d_in,), strength)))
        return [np.asarray(p) for _, made in generate(model, JOBS, settings, edits=[edit]) for p in made]

    assert pictures(1.0)[0].std() > 0
    says = refusal_of(lambda: pictures(1e5))
    assert "above the 6.55e+04 that float16 holds" in says
    assert "make it weaker, or use --dtype bfloat16 or float32" in says


def test_flags_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = FiniteFlags()
    assert flags.not_finite() == []
    for n in range(5):
        flags.see("fine", torch.ones(3) * n)
        flags.see("mostly", torch.tensor([1.0, float("inf") if n == 2 else 0.0]))
    read: list[int] = []
    tolist = torch.Tensor.tolist

    def counted(self: torch.Tensor) -> Any:
        read.append(1)
        return tolist(self)

    monkeypatch.setattr(torch.Tensor, "tolist", counted)
    assert flags.not_finite() == ["mostly"]
    assert read == [1]


def test_nothing_is_stored(tiny_folder: Folders, tmp_path: Path, cli: Callable[..., Any]) -> None:
    """Fit, harvest and label of a model whose autoencoder gives no numbers end in a line, before the first round."""
    folder = copied(tiny_folder("sd"), tmp_path)
    file = next((folder / "vae").glob("*.safetensors"))
    weights = load_file(file)
    weights["decoder.conv_out.bias"][0] = float("nan")
    save_file(weights, file, {"format": "pt"})
    assert json.loads((folder / "model_index.json").read_text())
    (tmp_path / "p.txt").write_text("a red circle\na blue square\na cat\na dog\n")
    given = ["--prompts", tmp_path / "p.txt", "--images", "4", "--dtype", "float32", "--set", "fit_images=4"]
    assert cli("-w", tmp_path / "w", "init", "--model", folder, *given).code == 0
    for command in (["fit"], ["harvest"], ["label", "--labeler", "prompts"]):
        done = cli("-w", tmp_path / "w", *command, "--layer", "mid")
        assert done.code == 1
        assert "the autoencoder of" in done.err
        assert "--dtype" in done.err
        assert "Traceback" not in done.err
    with sqlite3.connect(tmp_path / "w" / "autointerp.db") as db:
        for table in ("dictionaries", "images", "features", "crops", "checkpoints"):
            assert db.execute(f"select count(*) from {table}").fetchone() == (0,)
    assert not list((tmp_path / "w" / "dictionaries").glob("*/*.safetensors"))
