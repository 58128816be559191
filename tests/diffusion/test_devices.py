"""Devices, dtypes, and advice where memory runs out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from autointerp.diffusion.devices import memory_advice, on_device, out_of_memory, pick_device, pick_dtype
from autointerp.diffusion.loading import load_model
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.errors import AutointerpError, UsageError
from tests.diffusion.helpers import Models, seen


def test_devices_and_dtypes_that_are_not_here_are_usage_errors(model_folder: Path) -> None:
    with pytest.raises(UsageError, match="device"):
        load_model(str(model_folder), device="cuda:99")
    with pytest.raises(UsageError, match="did you mean 'bfloat16'"):
        load_model(str(model_folder), device="cpu", dtype="bfloat")
    with pytest.raises(UsageError, match="float16"):
        load_model(str(model_folder), device="cpu", dtype="fp16")


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
    assert advice(flux, "xpu:1", False) == [dtype, offload, quantize, offload]
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


class Accelerator:
    """Stands for `torch.cuda` and its like, with two devices."""

    def __init__(self, native: bool | None = True, tells_emulation: bool = True, available: bool = True) -> None:
        self.asked: list[str] = []
        self.is_available = lambda: available
        self.device_count = lambda: 2
        if native is not None and tells_emulation:
            self.is_bf16_supported: Any = lambda including_emulation=True: native or including_emulation
        elif native is not None:
            self.is_bf16_supported = lambda: native

    def device(self, name: str) -> Any:
        self.asked.append(name)
        return nullcontext()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say which kinds of devices PyTorch has, the current accelerator first."""

    def has(**kinds: Accelerator) -> None:
        def module(device: str) -> Any:
            kind = device.partition(":")[0]
            if kind not in kinds:
                raise RuntimeError(f"Expected one of cpu, cuda device type at start of device string: {kind}")
            return kinds[kind]

        first = next((kind for kind, its in kinds.items() if its.is_available()), None)
        monkeypatch.setattr(torch, "get_device_module", module)
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: first is not None)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: SimpleNamespace(type=first))

    return has


def test_devices_are_those_that_torch_knows(machine: Callable[..., None]) -> None:
    machine()
    assert [pick_device("auto"), pick_device("cpu")] == ["cpu", "cpu"]
    machine(cuda=Accelerator(available=False))
    assert pick_device("auto") == "cpu"
    machine(xpu=Accelerator())
    assert [pick_device(d) for d in ("auto", "xpu", "xpu:1", "cpu")] == ["xpu:0", "xpu:0", "xpu:1", "cpu"]
    machine(npu=Accelerator(), cuda=Accelerator())  # One's own device is the current accelerator; CUDA is there too.
    assert [pick_device(d) for d in ("auto", "npu:1", "cuda")] == ["npu:0", "npu:1", "cuda:0"]
    machine(mps=Accelerator())
    assert [pick_device(d) for d in ("auto", "mps")] == ["mps", "mps"]
    machine(cuda=Accelerator())
    for missing in ("cuda:2", "mps", "xpu", "gpu", "cpu:1", "cuda:"):
        with pytest.raises(UsageError, match=f"no device '{missing}'.*known: auto, cpu, cuda:0, cuda:1"):
            pick_device(missing)


@pytest.mark.parametrize(
    ("device", "accelerator", "half", "expected"),
    [
        ("cuda:1", Accelerator(True), "bfloat16", torch.bfloat16),
        ("cuda:1", Accelerator(False), "bfloat16", torch.float16),  # emulated there, and slow
        ("cuda:1", Accelerator(True), "float16", torch.float16),
        ("xpu:1", Accelerator(True, tells_emulation=False), "bfloat16", torch.bfloat16),
        ("xpu:1", Accelerator(False, tells_emulation=False), "bfloat16", torch.float16),
        ("npu:0", Accelerator(None), "bfloat16", torch.bfloat16),
    ],
)
def test_the_half_precision_that_a_device_has(
    machine: Callable[..., None], device: str, accelerator: Accelerator, half: str, expected: torch.dtype
) -> None:
    machine(**{device.partition(":")[0]: accelerator})
    assert pick_dtype("auto", device, half) is expected
    assert set(accelerator.asked) <= {device}
    assert pick_dtype("float32", device, half) is torch.float32
    wide = pick_dtype("auto", device, half, wide=True)
    assert wide is (torch.float32 if expected is torch.float16 else expected)


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_the_half_precision_of_a_mac(monkeypatch: pytest.MonkeyPatch, native: bool, expected: torch.dtype) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: native)
    assert pick_dtype("auto", "mps") is expected


def test_a_device_is_current_where_its_kind_has_several(machine: Callable[..., None]) -> None:
    xpu, mps = Accelerator(), SimpleNamespace(is_available=lambda: True)
    machine(xpu=xpu, mps=mps)
    for device in ("cpu", "mps", "xpu:1"):
        with on_device(device):
            pass
    assert xpu.asked == ["xpu:1"]
