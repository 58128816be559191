"""Describing and loading models, and the errors of doing so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.diffusion.describe import ModelDescription, describe_model, folder_revision
from autointerp.diffusion.families import FLUX, ModelDefaults
from autointerp.diffusion.layers import list_layers, resolve_layer
from autointerp.diffusion.loading import load_model
from autointerp.errors import AutointerpError, UsageError


def copied(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / "copy"))


def test_layers_of_a_folder(model_folder: Path) -> None:
    layers = {layer.alias: layer for layer in list_layers(describe_model(str(model_folder)))}
    assert {a: layer.hookpoint for a, layer in layers.items()} == {
        "early": "transformer.transformer_blocks.0",
        "mid": "transformer.transformer_blocks.1",
        "late": "transformer.single_transformer_blocks.2",
    }
    assert layers["mid"].as_dict() == {
        "alias": "mid",
        "hookpoint": "transformer.transformer_blocks.1",
        "d_in": 64,
        "grid": [12, 12],
        "stream": "image",
        "signal": "output",
    }


def test_aliases_of_the_full_size_model_are_the_papers_sites() -> None:
    sizes: dict[str, Any] = {
        "num_layers": 19,
        "num_single_layers": 38,
        "num_attention_heads": 24,
        "attention_head_dim": 128,
    }
    configs: dict[str, dict[str, Any]] = {"transformer": sizes, "vae": {"block_out_channels": [128, 256, 512, 512]}}
    aliases = FLUX.aliases(configs)
    flux = ModelDescription("flux", "flux", "0", FLUX, configs, FLUX.defaults, aliases)
    assert aliases == {
        "early": "transformer.transformer_blocks.9",
        "mid": "transformer.transformer_blocks.18",
        "late": "transformer.single_transformer_blocks.18",
    }
    layer = resolve_layer(flux, "mid", size=1024)
    assert (layer.d_in, layer.grid) == (3072, (64, 64))
    assert len(list_layers(flux, all_hookpoints=True)) == 57


def test_describing_loads_neither_torch_nor_diffusers(model_folder: Path) -> None:
    code = (
        "import sys; from autointerp.diffusion.describe import describe_model;"
        "from autointerp.diffusion.layers import list_layers; from autointerp.diffusion import generation, prompts;"
        f"list_layers(describe_model({str(model_folder)!r}));"
        "print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_layer_is_found_by_hookpoint_and_has_its_alias(model) -> None:
    layer = resolve_layer(model, "transformer.transformer_blocks.1", signal="update")
    assert (layer.alias, layer.name, layer.signal) == ("mid", "mid", "update")
    other = resolve_layer(model, "transformer.single_transformer_blocks.0")
    assert (other.alias, other.name) == (None, other.hookpoint)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mdi", "did you mean 'mid'"),
        ("transformer.transformer_blocks.7", "did you mean 'transformer.transf"),
        ("", "known"),
    ],
)
def test_unknown_layers_name_the_near_one(model, name: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        resolve_layer(model, name)
    assert hint in raised.value.hint


def test_unknown_signals_and_sizes_are_usage_errors(model) -> None:
    with pytest.raises(UsageError, match="signal"):
        resolve_layer(model, "mid", signal="outputs")
    with pytest.raises(UsageError, match="multiple of 8"):
        resolve_layer(model, "mid", size=100)
    with pytest.raises(UsageError, match="size of 0"):
        resolve_layer(model, "mid", size=0)


def test_the_revision_is_that_of_the_weights(model_folder: Path, tmp_path: Path) -> None:
    copy = copied(model_folder, tmp_path)
    assert folder_revision(copy) == folder_revision(model_folder)
    (copy / "autointerp.json").write_text("{}")
    assert folder_revision(copy) == folder_revision(model_folder)
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert folder_revision(copy) != folder_revision(model_folder)


def test_a_models_own_defaults_and_aliases(model_folder: Path, tmp_path: Path) -> None:
    copy = copied(model_folder, tmp_path)
    own = {"steps": 8, "capture_steps": [6, 2], "aliases": {"mid": "transformer.transformer_blocks.0"}}
    (copy / "autointerp.json").write_text(json.dumps(own))
    described = describe_model(str(copy))
    assert described.defaults.capture_steps == (2, 6)
    assert described.defaults.guidance == FLUX.defaults.guidance
    assert described.aliases["mid"] == "transformer.transformer_blocks.0"
    assert described.aliases["late"] == "transformer.single_transformer_blocks.2"


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"stps": 3}, "did you mean 'steps'"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2, "capture_steps": [2]}, "do not fit 2 steps"),
        ({"aliases": {"mid": "transformer.blocks.1"}}, "is no hookpoint"),
        ({"guidance": "much"}, "guidance is 'much'"),
    ],
)
def test_bad_defaults_of_a_model_say_what_is_wrong(model_folder: Path, tmp_path: Path, own: dict, says: str) -> None:
    copy = copied(model_folder, tmp_path)
    (copy / "autointerp.json").write_text(json.dumps(own))
    with pytest.raises(AutointerpError) as raised:
        describe_model(str(copy))
    assert says in str(raised.value)


def test_default_capture_steps_keep_their_noise_level() -> None:
    defaults = ModelDefaults(steps=8, guidance=0, size=96, max_sequence_length=1, capture_steps=(2, 7))
    assert defaults.capture_at(8) == (2, 7)
    assert defaults.capture_at(16) == (4, 14)
    assert defaults.capture_at(1) == (0,)


def test_what_is_no_model_says_so_in_a_line(model_folder: Path, tmp_path: Path, monkeypatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "file").write_text("x")
    other = copied(model_folder, tmp_path)
    index = json.loads((other / "model_index.json").read_text())
    del index["transformer"]  # With it, the generic entry would do.
    (other / "model_index.json").write_text(json.dumps({**index, "_class_name": "KandinskyPriorPipeline"}))
    for name, says in {
        str(tmp_path): "no model_index.json",
        str(tmp_path / "none"): "no model folder",
        str(tmp_path / "file"): "is a file",
        str(other): "known: FluxPipeline",
        "shpaes": "did you mean 'shapes'",
        "": "empty",
        "nobody/no-such-model": "HF_HUB_OFFLINE is set",
        "a b/c": "hub id",
    }.items():
        with pytest.raises(AutointerpError) as raised:
            describe_model(name)
        assert says in str(raised.value) and "\n" not in str(raised.value)


def test_a_model_that_is_only_half_on_this_machine_says_so(model_folder: Path, monkeypatch) -> None:
    """Its configuration was fetched, its weights were not, and there is no network."""
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda name, file, **_: str(model_folder / file))
    with pytest.raises(AutointerpError) as raised:
        load_model("nobody/half-there", device="cpu")
    assert "not wholly on this machine" in str(raised.value) and "\n" not in str(raised.value)


def test_a_class_that_diffusers_does_not_have_is_not_loaded(model_folder: Path, tmp_path: Path) -> None:
    copy = copied(model_folder, tmp_path)
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "_class_name": "TomorrowsPipeline"}))
    with pytest.raises(UsageError, match="TomorrowsPipeline has no aliases") as raised:
        resolve_layer(describe_model(str(copy)), "mid")
    assert "--layer transformer." in raised.value.hint
    with pytest.raises(AutointerpError, match="has no pipeline class 'TomorrowsPipeline'"):
        load_model(str(copy), device="cpu")


def test_damaged_models_say_so_in_a_line(model_folder: Path, tmp_path: Path) -> None:
    copy = copied(model_folder, tmp_path)
    (copy / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(AutointerpError) as raised:
        load_model(str(copy), device="cpu")
    assert "again" in raised.value.hint and "\n" not in str(raised.value)
    (copy / "transformer" / "config.json").unlink()
    with pytest.raises(AutointerpError, match="config.json is missing"):
        load_model(str(copy))


def test_weights_in_half_precision_are_loaded_as_float32_on_a_processor(model) -> None:
    assert {p.dtype for p in model.denoiser.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.denoiser.parameters())


def test_devices_and_dtypes_that_are_not_here_are_usage_errors(model_folder: Path) -> None:
    with pytest.raises(UsageError, match="device"):
        load_model(str(model_folder), device="cuda:99")
    with pytest.raises(UsageError, match="did you mean 'bfloat16'"):
        load_model(str(model_folder), device="cpu", dtype="bfloat")
    with pytest.raises(UsageError, match="float16"):
        load_model(str(model_folder), device="cpu", dtype="fp16")
