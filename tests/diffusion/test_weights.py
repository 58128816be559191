"""Files of weights, judged by their names and headers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from autointerp.diffusion.weights import adapted, check_part_files, variant_of, wrapped
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import Folders, Models, copied, loaded, same, seen


def check(folder: Path, variant: str | None = None) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    check_part_files("m", folder, index, variant, ("safety_checker",))


def refusal_of(folder: Path, variant: str | None = None) -> str:
    with pytest.raises(AutointerpError) as raised:
        check(folder, variant)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("variant", ["fp16", "bf16", "non_ema"])
def test_a_folder_of_variants_alone_names_the_setting(
    tiny_model: Models, tiny_folder: Folders, tmp_path: Path, variant: str
) -> None:
    folder = tmp_path / "m"
    tiny_model("pixart").pipeline.save_pretrained(folder, variant=variant)
    says = refusal_of(folder)
    assert says == f"the text_encoder of 'm' has weights of the variant {variant} alone: set loading.variant={variant}"
    with pytest.raises(AutointerpError, match=f"set loading.variant={variant}"):
        loaded(folder)
    check(folder, variant)
    assert "no weights of the variant 'fp8'" in refusal_of(folder, "fp8")
    shutil.copy(tiny_folder("pixart") / "autointerp.json", folder)
    assert same(seen(loaded(folder, variant=variant)), seen(tiny_model("pixart")))


def test_a_variant_that_some_parts_lack_is_taken_where_it_is(
    tiny_folder: Folders, tiny_model: Models, tmp_path: Path
) -> None:
    folder = copied(tiny_folder("sd"), tmp_path)
    file = next((folder / "unet").glob("*.safetensors"))
    file.rename(file.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert "the unet of 'm' has weights of the variant fp16 alone" in refusal_of(folder)
    check(folder, "fp16")
    assert variant_of(folder / "unet", "fp16") == "fp16"
    assert variant_of(folder / "vae", "fp16") is None
    assert same(seen(loaded(folder, variant="fp16")), seen(tiny_model("sd")))


def test_sharded_variants_are_found_and_a_missing_shard_is_named(tiny_model: Models, tmp_path: Path) -> None:
    for variant in (None, "fp16"):
        folder = tmp_path / str(variant)
        tiny_model("pixart").pipeline.save_pretrained(folder, max_shard_size="50KB", variant=variant)
        check(folder, variant)
        shard = sorted((folder / "transformer").glob("*.safetensors"))[1]
        shard.unlink()
        assert (
            refusal_of(folder, variant) == f"the transformer of 'm' lacks the file {shard.name}: fetch the model again"
        )
    (folder / "transformer" / "diffusion_pytorch_model.safetensors.index.fp16.json").write_text("{")
    assert "cannot be read" in refusal_of(folder, "fp16")


def test_missing_files_and_folders_are_named(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = copied(tiny_folder("sd"), tmp_path)
    next((folder / "vae").glob("*.safetensors")).unlink()
    assert refusal_of(folder) == "the vae of 'm' has no weights: fetch vae/ again"
    with pytest.raises(AutointerpError, match="the vae of .* has no weights"):
        loaded(folder)
    shutil.rmtree(folder / "text_encoder")
    assert "text_encoder/ is missing" in refusal_of(folder)


def test_pointers_and_damage_are_told_apart(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = copied(tiny_folder("sd"), tmp_path)
    file = next((folder / "unet").glob("*.safetensors"))
    whole = file.read_bytes()
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert "git lfs pull" in refusal_of(folder)
    file.write_bytes(whole[:100])
    assert "the weights of the unet of 'm' are damaged" in refusal_of(folder)


@pytest.mark.parametrize(
    ("prefix", "says"), [("module.", "DataParallel"), ("_orig_mod.", "torch.compile"), ("base_model.model.", "PEFT")]
)
def test_wrappers_are_seen_before_loading(tiny_folder: Folders, tmp_path: Path, prefix: str, says: str) -> None:
    folder = copied(tiny_folder("sd"), tmp_path)
    file = next((folder / "text_encoder").glob("*.safetensors"))
    save_file({f"{prefix}{name}": weight for name, weight in load_file(file).items()}, file)
    assert says in (message := refusal_of(folder))
    assert "text_encoder" in message


def test_names_of_adapters_and_wrappers() -> None:
    assert adapted(["a.to_q.base_layer.weight"])
    assert adapted(["a.to_q.lora_A.default.weight"])
    assert adapted(["a.processor.to_q_lora.up.weight"])
    assert adapted(["a.to_q.weight", "floral_embedding.weight"]) is None
    assert wrapped(["a._orig_mod.weight", "b.weight"])
    assert wrapped(["module.a", "b"]) is None
    assert wrapped([]) is None


def test_checking_loads_no_library(tiny_folder: Folders) -> None:
    code = (
        "import sys, json; from pathlib import Path; from autointerp.diffusion.weights import check_part_files;"
        f"f = Path({str(tiny_folder('sd'))!r});"
        "check_part_files('m', f, json.loads((f / 'model_index.json').read_text()), None, ());"
        "print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
