"""Describing folders, files and hub ids without weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.families.flux import FLUX
from autointerp.diffusion.loading import load_model
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import Folders, config_of, copied

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 50344\n"


def test_describing_loads_neither_torch_nor_diffusers(model_folder: Path) -> None:
    code = (
        "import sys; from autointerp.diffusion.describe import describe_model;"
        "from autointerp.diffusion.layers import list_layers; from autointerp.diffusion import jobs; "
        "from autointerp.diffusion.sources import prompts;"
        f"list_layers(describe_model({str(model_folder)!r}));"
        "print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_models_own_defaults_and_aliases(model_folder: Path, tmp_path: Path) -> None:
    copy = copied(model_folder, tmp_path)
    own = {"steps": 8, "capture_steps": [6, 2], "aliases": {"mid": "transformer.transformer_blocks.0"}}
    (copy / "autointerp.json").write_text(json.dumps(own))
    described = describe_model(str(copy))
    assert described.defaults.capture_steps == (2, 6)
    assert described.defaults.guidance == FLUX.defaults.guidance
    assert described.aliases["mid"] == "transformer.transformer_blocks.0"
    assert described.aliases["late"] == "transformer.single_transformer_blocks.2"


def test_a_part_lies_in_the_models_own_folder_or_in_the_one_that_it_shares(model_folder: Path) -> None:
    turbo, shapes = describe_model("shapes-turbo"), describe_model("shapes")
    assert turbo.place_of("transformer") == turbo.source
    assert turbo.place_of("tokenizer_2") == shapes.place_of("tokenizer_2") == shapes.source
    assert describe_model(str(model_folder)).place_of("tokenizer") == str(model_folder)


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


def test_what_is_no_model_says_so_in_a_line(model_folder: Path, tmp_path: Path, monkeypatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "modular").mkdir()
    (tmp_path / "modular" / "modular_model_index.json").write_text("{}")
    other, prior = copied(model_folder, tmp_path / "other"), copied(model_folder, tmp_path / "prior")
    index = json.loads((other / "model_index.json").read_text())
    (prior / "model_index.json").write_text(json.dumps({**index, "_class_name": "KandinskyPriorPipeline"}))
    del index["transformer"]  # With it, the generic entry would do.
    (other / "model_index.json").write_text(json.dumps({**index, "_class_name": "SomebodysPipeline"}))
    for name, says in {
        str(tmp_path): "no model_index.json",
        str(tmp_path / "none"): "no model folder",
        str(tmp_path / "modular"): "is a modular pipeline",
        str(tmp_path / "file"): "is a file",
        str(other): "FluxPipeline",
        str(prior): "it makes embeddings for another pipeline",
        "shpaes": "did you mean 'shapes'",
        "": "empty",
        "nobody/no-such-model": "HF_HUB_OFFLINE is set",
        "a b/c": "hub id",
    }.items():
        with pytest.raises(AutointerpError) as raised:
            describe_model(name)
        assert says in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("transformer/diffusion_pytorch_model.safetensors", LFS, "git LFS pointer"),
        ("model_index.json", LFS, "git LFS pointer"),
        ("transformer/config.json", LFS, "git LFS pointer"),
        ("tokenizer/special_tokens_map.json", LFS, "git LFS pointer"),
        ("vae/diffusion_pytorch_model.safetensors", "<!DOCTYPE html><html>Sign in</html>", "a web page"),
        ("vae/diffusion_pytorch_model.safetensors", "", "an empty file, no file of weights"),
    ],
)
def test_files_that_stand_for_others_are_refused_by_name(
    model_folder: Path, tmp_path: Path, file: str, content: str, says: str
) -> None:
    """`git clone` without git LFS leaves pointers; libraries call them cut short."""
    copy = copied(model_folder, tmp_path)
    (copy / file).write_text(content)
    with pytest.raises(AutointerpError) as raised:
        describe_model(str(copy))
    assert f"{copy / file} is {says}" in raised.value.message or f"{copy / file} is a {says}" in raised.value.message
    assert raised.value.hint


def test_a_model_that_is_only_half_on_this_machine_says_so(model_folder: Path, monkeypatch) -> None:
    """Its configuration was fetched, its weights were not, and there is no network."""
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda name, file, **_: str(model_folder / file))
    with pytest.raises(AutointerpError) as raised:
        load_model("nobody/half-there", device="cpu")
    assert "not wholly on this machine" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_describing_a_file_reads_no_weights_and_names_them(single: Folders, tmp_path: Path) -> None:
    file, config = single("sd"), config_of(single("sd"))
    code = (
        "import sys; from autointerp.diffusion.describe import describe_model as d;"
        "from autointerp.diffusion.loading_options import LoadingSettings as L;"
        f"x = d({str(file)!r}, loading=L(config={config!r})); print(x.aliases['mid'], x.defaults.size, x.config);"
        "print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"unet.mid_block.attentions.0 64 {config}\n[]\n"

    def revision(file: Path | str, config: Path | str) -> str:
        return describe_model(str(file), loading=LoadingSettings(config=str(config))).revision

    moved = shutil.copy(file, tmp_path / "moved.safetensors")
    assert revision(moved, config) == revision(file, config)
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "changed.safetensors").write_bytes(changed)
    assert revision(tmp_path / "changed.safetensors", config) != revision(file, config)
    other = shutil.copytree(config, tmp_path / "other")
    scheduler = json.loads((other / "scheduler" / "scheduler_config.json").read_text())
    (other / "scheduler" / "scheduler_config.json").write_text(json.dumps({**scheduler, "beta_end": 0.02}))
    assert revision(file, other) != revision(file, config)
