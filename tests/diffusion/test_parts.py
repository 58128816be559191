"""Parts of a pipeline that their files do not cover are refused; what only looks so is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autointerp.diffusion.loading import load_model
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import Folders, Models, copied, loaded, same, seen

Weights = dict[str, torch.Tensor]


def changed(folder: Path, part: str, change: Callable[[Weights], Weights], as_pickle: bool = False) -> None:
    """Rewrite the weights of a part; in a pickle their names cannot be seen before loading."""
    file = next((folder / part).glob("*.safetensors"))
    weights = {name: weight.contiguous().clone() for name, weight in change(load_file(file)).items()}
    if as_pickle:
        names = {"model.safetensors": "pytorch_model.bin"}
        torch.save(weights, file.with_name(names.get(file.name, "diffusion_pytorch_model.bin")))
        file.unlink()
    else:
        save_file(weights, file, {"format": "pt"})


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {f"{prefix}{name}": weight for name, weight in weights.items()}


def beside(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: torch.ones(2)}


def without(weights: Weights, count: int = 3) -> Weights:
    return {name: weights[name] for name in sorted(weights)[count:]}


def refused(folder: Path) -> str:
    with pytest.raises(AutointerpError) as raised:
        load_model(str(folder), device="cpu", dtype="float32")
    assert "\n" not in str(raised.value)
    return str(raised.value)


PARTS = [("sd", "text_encoder"), ("sd", "unet"), ("sd", "vae"), ("sdxl", "text_encoder_2"), ("flux", "text_encoder_2")]


@pytest.mark.parametrize(("family", "part"), [*PARTS, ("flux", "transformer")])
@pytest.mark.parametrize("as_pickle", [False, True])
def test_weights_of_a_wrapper_cover_nothing(
    tiny_folder: Folders, tmp_path: Path, family: str, part: str, as_pickle: bool
) -> None:
    folder = copied(tiny_folder(family), tmp_path)
    changed(folder, part, prefixed("module."), as_pickle)
    says = refused(folder)
    assert f"the {part} of" in says
    assert "DataParallel" in says
    assert "lacks" in says


@pytest.mark.parametrize(("family", "part"), PARTS)
def test_a_part_that_lacks_some_weights_says_how_many(
    tiny_folder: Folders, tmp_path: Path, family: str, part: str
) -> None:
    folder = copied(tiny_folder(family), tmp_path)
    changed(folder, part, without)
    assert f"the {part} of {str(folder)!r} lacks 3 of its " in refused(folder)


def test_a_weight_of_another_shape_is_named(tiny_folder: Folders, tmp_path: Path) -> None:
    for part in ("text_encoder", "unet", "vae"):
        folder = copied(tiny_folder("sd"), tmp_path / part)

        def cut(weights: Weights) -> Weights:
            name = max(weights, key=lambda name: weights[name].numel())
            return {**weights, name: weights[name][:-1]}

        changed(folder, part, cut)
        assert "1 of its" in (says := refused(folder))
        assert f"the {part} of" in says
        assert "in another shape" in says


def test_files_that_hold_more_of_a_module_than_the_model_are_of_another_model(
    tiny_folder: Folders, tmp_path: Path
) -> None:
    for part in ("text_encoder", "unet", "vae"):
        folder = copied(tiny_folder("sd"), tmp_path / part)
        prefix = {"text_encoder": "text_model.encoder.layers.7.fc", "unet": "down_blocks.9.x", "vae": "encoder.x"}[part]
        changed(folder, part, beside(f"{prefix}.weight"))
        assert "hold 1 weights that it has no place for" in (says := refused(folder))
        assert f"the {part} of" in says


@pytest.mark.parametrize("as_pickle", [False, True])
@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae"])
def test_a_lora_that_is_still_attached_is_named(
    tiny_folder: Folders, tmp_path: Path, part: str, as_pickle: bool
) -> None:
    """As PEFT saves a layer with an adapter: the layer under `base_layer`, and the adapter's two matrices beside it."""
    folder = copied(tiny_folder("sd"), tmp_path)

    def adapt(weights: Weights) -> Weights:
        name = next(name for name in sorted(weights) if name.endswith(("to_q.weight", "q_proj.weight")))
        layer, own = name.removesuffix(".weight"), weights[name]
        rest = {other: weight for other, weight in weights.items() if other != name}
        pair = {f"{layer}.lora_A.default.weight": own[:2], f"{layer}.lora_B.default.weight": own[:, :2]}
        return {**rest, f"{layer}.base_layer.weight": own, **pair}

    changed(folder, part, adapt, as_pickle)
    says = refused(folder)
    assert f"the {part} of" in says
    assert "fuse and unload the LoRA" in says


def test_lora_matrices_beside_the_whole_weights_are_not_dropped_in_silence(
    tiny_folder: Folders, tmp_path: Path
) -> None:
    """As older versions of diffusers saved attention processors."""
    folder = copied(tiny_folder("sd"), tmp_path)
    block = "mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight"
    changed(folder, "unet", lambda weights: {**weights, block: torch.ones(2, 2)})
    assert "fuse and unload the LoRA" in refused(folder)


def test_what_a_model_computes_or_ties_may_be_absent_and_stray_buffers_present(
    tiny_folder: Folders, tiny_model: Models, tmp_path: Path
) -> None:
    def buffers(weights: Weights) -> Weights:
        return {**weights, "text_model.embeddings.position_ids": torch.arange(77)[None]}

    folder = copied(tiny_folder("sd"), tmp_path / "sd")
    changed(folder, "text_encoder", buffers)
    assert same(seen(loaded(folder)), seen(tiny_model("sd")))

    folder = copied(tiny_folder("flux"), tmp_path / "flux")

    def tied(weights: Weights) -> Weights:
        """T5 keeps one table under two names, and a whole T5 has a decoder too."""
        table = next(weights[name] for name in ("shared.weight", "encoder.embed_tokens.weight") if name in weights)
        rest = {name: w for name, w in weights.items() if name not in ("shared.weight", "encoder.embed_tokens.weight")}
        return {**rest, "shared.weight": table, "decoder.block.0.layer.0.SelfAttention.q.weight": torch.ones(2, 2)}

    changed(folder, "text_encoder_2", tied)
    assert same(seen(loaded(folder)), seen(tiny_model("flux")))


def test_computed_buffers_may_be_absent(tiny_folder: Folders, tiny_model: Models, tmp_path: Path) -> None:
    folder = copied(tiny_folder("pixart"), tmp_path)
    changed(folder, "transformer", lambda weights: {n: w for n, w in weights.items() if n != "pos_embed.pos_embed"})
    assert same(seen(loaded(folder)), seen(tiny_model("pixart")))


def test_the_old_names_of_attention_are_converted(tiny_folder: Folders, tiny_model: Models, tmp_path: Path) -> None:
    folder = copied(tiny_folder("sd"), tmp_path)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(weights: Weights) -> Weights:
        found = {}
        for name, weight in weights.items():
            for new, before in old.items():
                name = name.replace(f"attentions.0.{new}.", f"attentions.0.{before}.")
            found[name] = weight
        assert found.keys() != weights.keys()
        return found

    changed(folder, "vae", rename)
    assert same(seen(loaded(folder)), seen(tiny_model("sd")))


def test_weights_that_belong_to_no_module_are_left_out_with_a_note(
    tiny_folder: Folders, tiny_model: Models, tmp_path: Path
) -> None:
    folder = copied(tiny_folder("sd"), tmp_path)
    changed(folder, "vae", beside("loss.discriminator.weight"))
    model = loaded(folder)
    assert len(model.notes) == 1
    assert "the vae of" in model.notes[0]
    assert "loss.discriminator.weight" in model.notes[0]
    assert tiny_model("sd").notes == ()
    assert same(seen(model), seen(tiny_model("sd")))


def test_a_single_file_that_lacks_weights_is_refused(single: Folders, tmp_path: Path) -> None:
    file, config = single("sd"), str(single("sd").parent / "config")
    whole = load_file(file)
    for prefix, part in {"model.diffusion_model.middle_block": "unet", "first_stage_model.decoder.mid": "vae"}.items():
        few = {name: weight for name, weight in whole.items() if not name.startswith(prefix)}
        assert len(few) < len(whole)
        save_file(few, tmp_path / "few.safetensors")
        with pytest.raises(AutointerpError, match=f"the {part} of .* lacks") as raised:
            loaded(tmp_path / "few.safetensors", config=config)
        assert "\n" not in str(raised.value)
    few = {name: weight for name, weight in whole.items() if "encoder.layers.1." not in name}
    assert len(few) < len(whole)
    save_file(few, tmp_path / "few.safetensors")
    with pytest.raises(AutointerpError, match="text_encoder"):
        loaded(tmp_path / "few.safetensors", config=config)


def test_sharded_weights_are_covered_by_all_shards_together(
    tiny_model: Models, tiny_folder: Folders, tmp_path: Path
) -> None:
    tiny_model("pixart").pipeline.save_pretrained(tmp_path / "m", max_shard_size="50KB")
    own = (tiny_folder("pixart") / "autointerp.json").read_text()
    (tmp_path / "m" / "autointerp.json").write_text(own)
    assert json.loads(own)
    assert len(list((tmp_path / "m" / "transformer").glob("*.safetensors"))) > 1
    got, wanted = seen(loaded(tmp_path / "m")), seen(tiny_model("pixart"))
    assert same(got, wanted)
    assert np.array_equal(got[1][0], wanted[1][0])
