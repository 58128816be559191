"""Where a pipeline is loaded from and how it is kept: the same activations and pictures, or one line that says why."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autointerp.diffusion.arranging import arrange, check_loading, compile_blocks
from autointerp.diffusion.describe import describe_model, folder_revision
from autointerp.diffusion.devices import memory_advice, out_of_memory, pick_dtype
from autointerp.diffusion.generation import GenerationSettings, ImageJob, generate
from autointerp.diffusion.layers import Layer, neurons_of, resolve_layer
from autointerp.diffusion.loading import Model, load_model
from autointerp.diffusion.splice import UNCHANGED, splice_images
from autointerp.errors import AutointerpError, UsageError
from autointerp.settings import LoadingSettings

from . import original

JOBS = [ImageJob(n, prompt, 100 + n) for n, prompt in enumerate(["large red solid circle", "small blue star"])]
Models = Callable[[str], Model]
Folders = Callable[[str], Path]
Seen = tuple[list[torch.Tensor], list[np.ndarray]]


def seen(model: Model, layers: list[Layer] | None = None, steps: tuple[int, ...] = (0, 2)) -> Seen:
    """What is captured of a guided run, at every alias if not told otherwise, and its pictures."""
    layers = layers or [resolve_layer(model, alias) for alias in model.aliases]
    settings = GenerationSettings(steps=3, guidance=2.0, size=64, max_sequence_length=28)
    got: list[torch.Tensor] = []
    batches = list(generate(model, JOBS, settings, layers, steps, lambda c: got.append(c.acts.clone())))
    return got, [np.asarray(picture, int) for _, pictures in batches for picture in pictures]


def same(one: Seen, other: Seen) -> bool:
    """Bit for bit."""
    acts = [torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True)]
    return all(acts) and all(np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True))


def near(one: Seen, other: Seen, tolerance: float = 1e-4) -> bool:
    """Up to a share of the activations' norm, and as many steps of a color in the pictures as that may come to."""
    acts = [float((a - b).norm() / b.norm()) for a, b in zip(one[0], other[0], strict=True)]
    steps = [np.abs(a - b).max() for a, b in zip(one[1], other[1], strict=True)]
    return max(acts) < tolerance and max(steps) <= max(1, round(200 * tolerance))


def loaded(source: Path | str, **loading: Any) -> Model:
    return load_model(str(source), device="cpu", dtype="float32", loading=LoadingSettings(**loading))


def described(model: Model, **loading: Any) -> Any:
    return dataclasses.replace(model.description, loading=LoadingSettings(**loading))


# Single files


@pytest.fixture(scope="module")
def single(tiny_folder: Folders, tiny_model: Models, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A checkpoint in the original layout by its family's name, and beside it `config`, a pipeline without weights."""
    made: dict[str, Path] = {}

    def file(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = folder / f"{name}.safetensors"
            save_file(original.checkpoint(tiny_model(name).pipeline), made[name])
            shutil.copytree(tiny_folder(name), folder / "config", ignore=shutil.ignore_patterns("*.safetensors"))
        return made[name]

    return file


def config_of(file: Path) -> str:
    return str(file.parent / "config")


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_single_file_is_the_pipeline_it_was_made_of(tiny_model: Models, single: Folders, name: str) -> None:
    file = single(name)
    model = loaded(file, config=config_of(file))
    assert type(model.pipeline) is type(tiny_model(name).pipeline) and model.name == str(file)
    assert same(seen(model), seen(tiny_model(name)))


def test_a_ckpt_file_is_opened_as_weights_or_not_at_all(tiny_model: Models, single: Folders, tmp_path: Path) -> None:
    config = config_of(single("sd"))
    weights = original.checkpoint(tiny_model("sd").pipeline)
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "good.ckpt")
    assert same(seen(loaded(tmp_path / "good.ckpt", config=config)), seen(tiny_model("sd")))

    class Runs:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "it ran",)

    torch.save({"state_dict": weights, "callbacks": Runs()}, tmp_path / "bad.ckpt")
    for given in ({"config": config}, {}):
        with pytest.raises(AutointerpError, match="could run code") as raised:
            loaded(tmp_path / "bad.ckpt", **given)
        assert "safetensors" in raised.value.hint and not (tmp_path / "it ran").exists()


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


def test_describing_a_file_reads_no_weights_and_names_them(single: Folders, tmp_path: Path) -> None:
    file, config = single("sd"), config_of(single("sd"))
    code = (
        "import sys; from autointerp.diffusion.describe import describe_model as d;"
        "from autointerp.settings import LoadingSettings as L;"
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


def test_a_file_without_a_configuration_says_what_it_needs(
    single: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    save_file({"lora.down": torch.zeros(2, 2)}, tmp_path / "odd.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(single("sd").read_bytes()[:99])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    for file, says in {
        single("sd"): ["looks like stable-diffusion-v1-5/stable-diffusion-v1-5", "HF_HUB_OFFLINE", "loading.config"],
        tmp_path / "odd.safetensors": ["looks like no model", "loading.config"],
        tmp_path / "cut.safetensors": ["cannot be read", "fetch it again"],
        tmp_path / "empty.safetensors": ["cannot be read", "fetch it again"],
        tmp_path / "empty.ckpt": ["cannot be read", "fetch it again"],
        tmp_path / "none.safetensors": ["no checkpoint", "check the path"],
    }.items():
        with pytest.raises(AutointerpError) as raised:
            describe_model(str(file))
        assert "\n" not in str(raised.value)
        for words in says:
            assert words in str(raised.value)


# Settings


@pytest.mark.parametrize("name", ["sd", "flux"])
def test_slices_and_tiles_of_the_autoencoder(tiny_folder: Folders, tiny_model: Models, name: str) -> None:
    model = loaded(tiny_folder(name), vae_slicing=True, vae_tiling=True)
    assert model.pipeline.vae.use_slicing and model.pipeline.vae.use_tiling
    assert near(seen(model), seen(tiny_model(name)))


def test_slices_of_attention(tiny_folder: Folders, tiny_model: Models) -> None:
    model = loaded(tiny_folder("sdxl"), attention_slicing=True)
    processors = {type(p).__name__ for p in model.pipeline.unet.attn_processors.values()}
    assert processors == {"SlicedAttnProcessor"}
    assert near(seen(model), seen(tiny_model("sdxl")))


def offloaded(model: Model, how: str) -> Model:
    """Offload with the processor in the accelerator's place: the same hooks around the same modules."""
    description = described(model, offload=how)
    if how == "model":
        arrange(model.pipeline, description, "cpu")
    else:
        from accelerate import cpu_offload

        # diffusers would call the device cpu:0, which torch takes for another one than cpu.
        for part in model.pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)
        assert {p.device.type for p in model.denoiser.parameters()} == {"meta"}
    return dataclasses.replace(model, description=description)


@pytest.mark.parametrize(("name", "how"), [("flux", "model"), ("flux", "sequential"), ("sdxl", "sequential")])
def test_capture_and_splice_of_an_offloaded_model(
    tiny_folder: Folders, tiny_model: Models, name: str, how: str
) -> None:
    model, plain = offloaded(loaded(tiny_folder(name)), how), tiny_model(name)
    units = [neurons_of(plain, resolve_layer(plain, "mid"))]
    for _ in range(2):  # After a run the hooks of an offload are made again.
        assert same(seen(model), seen(plain))
        assert same(seen(model, units), seen(plain, units))
    layer = resolve_layer(plain, "mid", signal="output")
    splices: Any = {"twice": (layer, lambda acts, step: 2 * acts)}
    settings = GenerationSettings.resolve(plain.defaults, {"guidance": 1.0})
    ((_, ours),), ((_, other),) = (list(splice_images(m, JOBS, settings, splices, [1])) for m in (model, plain))
    for label in ("twice", UNCHANGED):
        assert torch.equal(ours.errors[label], other.errors[label])
    assert same(seen(model), seen(plain))


@pytest.fixture
def graphs() -> Iterator[Callable[[], int]]:
    """How many graphs torch has compiled since the test began."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    yield lambda: counters["stats"]["unique_graphs"]
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["sd", "pixart"])
def test_hooks_see_what_a_compiled_model_computes(
    tiny_folder: Folders, tiny_model: Models, graphs: Callable[[], int], name: str
) -> None:
    model, plain = loaded(tiny_folder(name), compile="eager"), tiny_model(name)
    settings = GenerationSettings.resolve(plain.defaults, {"guidance": 2.0})
    list(generate(model, JOBS, settings))  # Compiled while no hook is there: hooks that come later fire all the same.
    made = graphs()
    assert made > 0
    assert near(seen(model), seen(plain)) and graphs() == made
    units = [neurons_of(plain, resolve_layer(plain, "mid"))]  # inside a block that is compiled
    assert near(seen(model, units), seen(plain, units))
    twice: list[int] = []
    layer = resolve_layer(plain, "mid", signal="output")
    for _ in range(2):  # No hook of a run before is left in what is compiled.
        list(generate(model, JOBS, settings, [layer], (0,), lambda c: twice.append(c.step)))
    assert twice == [0, 0]


def test_a_splice_goes_through_a_compiled_model(tiny_folder: Folders, tiny_model: Models) -> None:
    model, plain = loaded(tiny_folder("flux"), compile="eager"), tiny_model("flux")
    layer = resolve_layer(plain, "mid", signal="output")
    splices: Any = {"none": (layer, lambda acts, step: torch.zeros_like(acts))}
    settings = GenerationSettings.resolve(plain.defaults)
    ((_, ours),), ((_, other),) = (list(splice_images(m, JOBS, settings, splices, [1])) for m in (model, plain))
    assert torch.allclose(ours.errors["none"], other.errors["none"], rtol=1e-4)
    assert not torch.allclose(ours.errors["none"], ours.errors[UNCHANGED], rtol=1e-4)


@pytest.mark.parametrize(("how", "tolerance"), [("int8", 0.05), ("fp8", 0.2)])
@pytest.mark.parametrize("name", ["sd", "flux"])
def test_torchao_quantizes_the_denoiser_alone(
    tiny_folder: Folders, tiny_model: Models, name: str, how: str, tolerance: float
) -> None:
    pytest.importorskip("torchao", reason="the extra 'quantized' is not installed")
    model, plain = loaded(tiny_folder(name), quantize=how), tiny_model(name)
    kinds = {type(m.weight.data).__name__ for m in model.denoiser.modules() if isinstance(m, torch.nn.Linear)}
    assert kinds == {"Int8Tensor" if how == "int8" else "Float8Tensor"}
    rest = [*model.pipeline.vae.parameters(), *model.pipeline.text_encoder.parameters()]
    assert {type(p) for p in rest} == {torch.nn.Parameter}
    found, wanted = seen(model), seen(plain)
    assert near(found, wanted, tolerance) and not near(found, wanted, 1e-4)


def test_bitsandbytes_quantizes_the_denoiser(
    tiny_folder: Folders, tiny_model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernels run on a processor too; only diffusers wants a GPU for them, so that its question is left out."""
    pytest.importorskip("bitsandbytes", reason="the extra 'quantized' is not installed")
    from diffusers.quantizers.bitsandbytes.bnb_quantizer import BnB4BitDiffusersQuantizer

    from autointerp.diffusion import loading

    monkeypatch.setattr(BnB4BitDiffusersQuantizer, "validate_environment", lambda self, *_, **__: None)
    monkeypatch.setattr(BnB4BitDiffusersQuantizer, "update_device_map", lambda self, device_map: {"": "cpu"})
    monkeypatch.setattr(loading, "check_loading", lambda *_: None)
    model = loaded(tiny_folder("flux"), quantize="nf4")
    block = model.module("transformer.transformer_blocks.0")
    weights: list[Any] = [m.weight for m in block.modules() if isinstance(m, torch.nn.Linear)]
    assert {(type(w).__name__, w.quant_type) for w in weights} == {("Params4bit", "nf4")}
    found, wanted = seen(model), seen(tiny_model("flux"))
    assert near(found, wanted, 0.5) and not near(found, wanted, 1e-3)


def test_a_variant_is_another_set_of_files(tiny_folder: Folders, tiny_model: Models, tmp_path: Path) -> None:
    tiny_model("pixart").pipeline.save_pretrained(tmp_path / "m", variant="fp16")
    got = seen(loaded(tmp_path / "m", variant="fp16"))
    settings = json.loads((tiny_folder("pixart") / "autointerp.json").read_text())
    (tmp_path / "m" / "autointerp.json").write_text(json.dumps(settings))
    assert same(seen(loaded(tmp_path / "m", variant="fp16")), seen(tiny_model("pixart"))) and len(got[0]) > 0
    with pytest.raises(AutointerpError, match="no weights of the variant 'bf16'"):
        loaded(tmp_path / "m", variant="bf16")


def test_what_changes_the_weights_names_another_model(tiny_folder: Folders) -> None:
    folder = tiny_folder("sd")

    def revision(**loading: Any) -> str:
        return describe_model(str(folder), loading=LoadingSettings(**loading)).revision

    plain = describe_model(str(folder)).revision
    assert plain == folder_revision(folder) == revision()
    for same_weights in (
        {"offload": "model"},
        {"compile": "eager", "attention_slicing": True, "vae_slicing": True, "vae_tiling": True},
        {"variant": "fp16", "local_files_only": True},
    ):
        assert revision(**same_weights) == plain
    others = [revision(quantize=how) for how in ("int8", "fp8", "nf4")] + [revision(variant="non_ema")]
    assert len({plain, *others}) == 5 and others[0] == f"{plain}+int8"


# Errors


def test_a_setting_that_cannot_be_is_an_error(
    tiny_folder: Folders, single: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    config = config_of(single("sd"))
    for source, loading, words in (
        (tiny_folder("flux"), {"offload": "model"}, ["no accelerator to offload from", "leave it out"]),
        (tiny_folder("flux"), {"attention_slicing": True}, ["is for U-Nets", "leave it out"]),
        (tiny_folder("flux"), {"config": config}, ["is for a single-file checkpoint", "leave it out"]),
        (single("sd"), {"config": config, "quantize": "int8"}, ["does not go with a single-file", "save_pretrained"]),
        (single("sd"), {"config": config, "variant": "fp16"}, ["loading.variant does not apply", "leave it out"]),
    ):
        with pytest.raises(UsageError) as raised:
            loaded(source, **loading)
        for word in words:
            assert word in str(raised.value)


def test_settings_that_do_not_go_together(tiny_model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    model = tiny_model("flux")
    check_loading(described(model, offload="sequential"), "cuda:0")
    check_loading(described(model, offload="model", compile="inductor"), "cuda:0")
    with pytest.raises(UsageError, match="'sequential' does not go with loading.compile"):
        check_loading(described(model, offload="sequential", compile="inductor"), "cuda:0")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for how, library in {"nf4": "bitsandbytes", "int8": "torchao", "fp8": "torchao"}.items():
        with pytest.raises(AutointerpError, match=f"{library} is not installed") as raised:
            check_loading(described(model, quantize=how), "cuda:0")
        assert raised.value.hint == "pip install 'autointerp[quantized]'"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    check_loading(described(model, quantize="nf4", offload="model"), "cuda:0")
    with pytest.raises(UsageError, match="only does on a GPU"):
        check_loading(described(model, quantize="nf4"), "cpu")
    with pytest.raises(UsageError, match="'sequential' does not go with loading.quantize"):
        check_loading(described(model, quantize="nf4", offload="sequential"), "cuda:0")


def test_parts_that_cannot_do_it_say_so(tiny_model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("flux")
    kind = type(model.pipeline.vae)

    def cannot(self: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(kind, "enable_tiling", cannot)
    with pytest.raises(UsageError, match="has no tiling") as raised:
        arrange(model.pipeline, described(model, vae_tiling=True), "cpu")
    assert raised.value.hint == "leave out loading.vae_tiling"
    with pytest.raises(UsageError, match="which of its blocks can be compiled"):
        compile_blocks(torch.nn.Linear(2, 2), "eager", "m")


def test_a_hookpoint_that_does_not_exist_names_the_nearest(tiny_model: Models) -> None:
    with pytest.raises(UsageError, match="no hookpoint") as raised:
        tiny_model("sd").module("unet.mid_block.attention.0")
    assert "did you mean 'unet.mid_block.attentions.0'" in raised.value.hint
    assert "conv_in" not in raised.value.hint and raised.value.hint.count("unet.") <= 7


def test_running_out_of_memory_names_what_helps_and_is_not_on(tiny_model: Models) -> None:
    sd, flux = tiny_model("sd").description, tiny_model("flux").description

    def advice(model: Any, device: str, running: bool, **loading: Any) -> list[str]:
        found = memory_advice(dataclasses.replace(model, loading=LoadingSettings(**loading)), device, running)
        return [part.partition(" = ")[0] for part in found.removeprefix("in this order: ").split("; ")]

    batch, dtype = "a smaller batch_size or size", "--dtype bfloat16 or float16, if it is float32"
    vae, slices = ["loading.vae_slicing", "loading.vae_tiling"], "loading.attention_slicing"
    offload, quantize = "loading.offload", "loading.quantize"
    assert advice(sd, "cuda:0", True) == [batch, *vae, offload, quantize, slices, offload]
    assert advice(flux, "cuda:0", False) == [dtype, offload, quantize, offload]
    assert advice(flux, "cuda:0", False, offload="model") == [dtype, quantize, offload]
    assert advice(flux, "cuda:0", True, offload="sequential", vae_slicing=True) == [batch, "loading.vae_tiling"]
    assert advice(flux, "cpu", False) == [quantize]
    assert advice(sd, "mps", True, vae_tiling=True) == [batch, "loading.vae_slicing", quantize, slices]
    assert 'quantize = "int8"' in memory_advice(flux, "mps", False)
    assert 'quantize = "nf4"' in memory_advice(flux, "cuda:0", False)
    alone = dataclasses.replace(flux, loading=LoadingSettings(quantize="int8"))
    assert memory_advice(alone, "cpu", False) == "take a machine with more memory, or a smaller model"
    for text in ("CUDA out of memory. Tried", "DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"):
        with pytest.raises(AutointerpError, match="not enough memory for m") as raised, out_of_memory("m", flux, "cpu"):
            raise RuntimeError(text)
        assert "loading.quantize" in raised.value.hint
    with pytest.raises(RuntimeError, match="else"), out_of_memory("m", flux, "cpu"):
        raise RuntimeError("something else")


def test_a_run_out_of_memory_says_of_what(tiny_model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("flux")

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(model.denoiser), "forward", full)
    with pytest.raises(AutointerpError, match="batches of 2 images of 64 px") as raised:
        seen(model)
    assert raised.value.hint.startswith("in this order: a smaller batch_size")


@pytest.mark.parametrize(
    ("device", "native", "half", "expected"),
    [
        ("cuda:1", True, "bfloat16", torch.bfloat16),
        ("cuda:1", False, "bfloat16", torch.float16),  # emulated there, and slow
        ("cuda:1", True, "float16", torch.float16),
        ("mps", True, "bfloat16", torch.bfloat16),
        ("mps", False, "bfloat16", torch.float16),
    ],
)
def test_the_half_precision_that_a_device_has(
    monkeypatch: pytest.MonkeyPatch, device: str, native: bool, half: str, expected: torch.dtype
) -> None:
    from contextlib import nullcontext

    asked: list[Any] = []

    def on(name: str) -> Any:
        asked.append(name)
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: native)
    assert pick_dtype("auto", device, half) is expected
    assert pick_dtype("float32", device, half) is torch.float32
    assert asked == ([device] if device.startswith("cuda") else [])
