"""Loading pipelines, single files, variants; errors that name the next step."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.loading import _shared, load_model
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.errors import AutointerpError, UsageError
from tests.diffusion import original
from tests.diffusion.helpers import Folders, Models, config_of, copied, loaded, same, seen


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
    assert "again" in raised.value.hint
    assert "\n" not in str(raised.value)
    (copy / "transformer" / "config.json").unlink()
    with pytest.raises(AutointerpError, match="config.json is missing"):
        load_model(str(copy))


def test_weights_in_half_precision_are_loaded_as_float32_on_a_processor(model) -> None:
    assert {p.dtype for p in model.denoiser.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.denoiser.parameters())


def test_parts_of_its_own_are_not_loaded_from_the_model_that_shares(tiny_folder: Folders, tmp_path: Path) -> None:
    """Not even optional ones, which the shared model's files need not have then."""
    folder, own = copied(tiny_folder("sd"), tmp_path), tmp_path / "own"
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"image_encoder": ["transformers", "CLIPVisionModelWithProjection"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    for part in ("unet", "image_encoder"):
        (own / part).mkdir(parents=True)
    description = replace(describe_model(str(folder)), source=str(own), shared=folder)
    assert set(_shared(description, torch.float32)) == {"vae", "text_encoder", "tokenizer", "scheduler"}


def test_shapes_turbo_has_its_own_transformer_and_the_other_parts_of_shapes() -> None:
    turbo, shapes = loaded("shapes-turbo"), loaded("shapes")
    assert turbo.name == "shapes-turbo"
    assert turbo.description.revision != shapes.description.revision
    assert not {path.name for path in Path(turbo.description.source).iterdir()} & {"vae", "text_encoder", "tokenizer"}
    for part in ("vae", "text_encoder", "text_encoder_2"):
        of_turbo, of_shapes = (getattr(m.pipeline, part).state_dict() for m in (turbo, shapes))
        assert of_turbo.keys() == of_shapes.keys()
        assert all(torch.equal(of_turbo[key], of_shapes[key]) for key in of_turbo)
    weights = zip(turbo.denoiser.parameters(), shapes.denoiser.parameters(), strict=True)
    assert not all(torch.equal(ours, theirs) for ours, theirs in weights)


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_single_file_is_the_pipeline_it_was_made_of(tiny_model: Models, single: Folders, name: str) -> None:
    file = single(name)
    model = loaded(file, config=config_of(file))
    assert type(model.pipeline) is type(tiny_model(name).pipeline)
    assert model.name == str(file)
    assert same(seen(model), seen(tiny_model(name)))


def test_a_file_of_the_denoiser_alone_gets_the_rest_from_its_configuration(
    tiny_folder: Folders, tiny_model: Models, tmp_path: Path
) -> None:
    file = shutil.copy(next((tiny_folder("flux") / "transformer").glob("*.safetensors")), tmp_path / "t.safetensors")
    assert same(seen(loaded(file, config=str(tiny_folder("flux")))), seen(tiny_model("flux")))
    bare = shutil.copytree(tiny_folder("flux"), tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(AutointerpError) as raised:
        loaded(file, config=str(bare))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_text_encoders_that_a_file_lacks_come_with_its_configuration(
    tiny_model: Models, tiny_folder: Folders, single: Folders, tmp_path: Path, name: str
) -> None:
    weights = original.checkpoint(tiny_model(name).pipeline)
    kept = {key: weight for key, weight in weights.items() if not key.startswith(("cond_stage_model", "conditioner"))}
    save_file(kept, tmp_path / "part.safetensors")
    whole = loaded(tmp_path / "part.safetensors", config=str(tiny_folder(name)))
    assert same(seen(whole), seen(tiny_model(name)))
    with pytest.raises(AutointerpError, match="cannot be loaded") as raised:
        loaded(tmp_path / "part.safetensors", config=config_of(single(name)))
    assert "\n" not in str(raised.value)


def test_a_configuration_of_the_hub_is_taken_from_its_cache(
    tiny_model: Models, single: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    cached = shutil.copytree(config_of(single("sd")), tmp_path / "c0ffee")
    asked: list[Any] = []

    def one(repo: str, file: str, revision: str | None, local_files_only: bool) -> str:
        return str(cached / file)

    def all_of_it(repo: str, **how: Any) -> str:
        asked.append((repo, how["revision"], how["local_files_only"]))
        return str(cached)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", one)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", all_of_it)
    model = load_model(
        str(single("sd")), "main", "cpu", "float32", LoadingSettings(config="owner/name", local_files_only=True)
    )
    assert asked == [("owner/name", "c0ffee", True)]
    got, _ = seen(model, steps=(0,))
    assert torch.equal(got[0], seen(tiny_model("sd"), steps=(0,))[0][0])


def test_a_variant_is_another_set_of_files(tiny_folder: Folders, tiny_model: Models, tmp_path: Path) -> None:
    tiny_model("pixart").pipeline.save_pretrained(tmp_path / "m", variant="fp16")
    got = seen(loaded(tmp_path / "m", variant="fp16"))
    settings = json.loads((tiny_folder("pixart") / "autointerp.json").read_text())
    (tmp_path / "m" / "autointerp.json").write_text(json.dumps(settings))
    assert same(seen(loaded(tmp_path / "m", variant="fp16")), seen(tiny_model("pixart")))
    assert len(got[0]) > 0
    with pytest.raises(AutointerpError, match="no weights of the variant 'bf16'"):
        loaded(tmp_path / "m", variant="bf16")
