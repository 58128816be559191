"""Slices, offload, compiled blocks and quantized weights, under hooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from autointerp.diffusion.arranging import arrange, check_loading, compile_blocks
from autointerp.diffusion.capture import Capture
from autointerp.diffusion.edits import Edit, replace
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings
from autointerp.diffusion.layers import neurons_of, resolve_layer
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.diffusion.model import Model
from autointerp.diffusion.splicing import UNCHANGED, splice_images
from autointerp.errors import AutointerpError, UsageError
from tests.diffusion.helpers import JOBS, Folders, Models, loaded, near, same, seen


def described(model: Model, **loading: Any) -> Any:
    return dataclasses.replace(model.description, loading=LoadingSettings(**loading))


# Settings


@pytest.mark.parametrize("name", ["sd", "flux"])
def test_slices_and_tiles_of_the_autoencoder(tiny_folder: Folders, tiny_model: Models, name: str) -> None:
    model = loaded(tiny_folder(name), vae_slicing=True, vae_tiling=True)
    assert model.pipeline.vae.use_slicing
    assert model.pipeline.vae.use_tiling
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
    splices: Any = {"twice": Edit(layer, replace(lambda acts, step: 2 * acts))}
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
    assert near(seen(model), seen(plain))
    assert graphs() == made
    units = [neurons_of(plain, resolve_layer(plain, "mid"))]  # inside a block that is compiled
    assert near(seen(model, units), seen(plain, units))
    twice: list[int] = []
    layer = resolve_layer(plain, "mid", signal="output")
    for _ in range(2):  # No hook of a run before is left in what is compiled.
        list(generate(model, JOBS, settings, Capture([layer], (0,), lambda c: twice.append(c.step))))
    assert twice == [0, 0]


def test_a_splice_goes_through_a_compiled_model(tiny_folder: Folders, tiny_model: Models) -> None:
    model, plain = loaded(tiny_folder("flux"), compile="eager"), tiny_model("flux")
    layer = resolve_layer(plain, "mid", signal="output")
    splices: Any = {"none": Edit(layer, replace(lambda acts, step: torch.zeros_like(acts)))}
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
    assert near(found, wanted, tolerance)
    assert not near(found, wanted, 1e-4)


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
    # On a processor with bfloat16 the library packs the weights once more, which fails for weights as small as these.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)
    model = loaded(tiny_folder("flux"), quantize="nf4")
    block = model.module("transformer.transformer_blocks.0")
    weights: list[Any] = [m.weight for m in block.modules() if isinstance(m, torch.nn.Linear)]
    assert {(type(w).__name__, w.quant_type) for w in weights} == {("Params4bit", "nf4")}
    found, wanted = seen(model), seen(tiny_model("flux"))
    assert near(found, wanted, 0.5)
    assert not near(found, wanted, 1e-3)


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
