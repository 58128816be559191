"""The device and dtype that a model computes in, and advice where memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from autointerp.errors import AutointerpError, UsageError, is_out_of_memory, nearest

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.description import ModelDescription

DTYPES = {"float32": "float32", "fp32": "float32", "bfloat16": "bfloat16", "bf16": "bfloat16"}
DTYPES |= {"float16": "float16", "fp16": "float16"}


OWN_MEMORY = ("cuda", "xpu", "npu", "hpu")
"""Kinds of accelerators with memory beside the processor's, for which offloading makes room."""


def kind_of(device: str) -> str:
    """Return the kind of a device, its name without the number."""
    return device.partition(":")[0]


def devices_of(kind: str) -> list[str]:
    """Return the devices of a kind that this machine has, by their names; none of a kind that PyTorch does not know."""
    import torch

    if kind == "cpu":
        return ["cpu"]
    try:
        module = torch.get_device_module(kind)
    except RuntimeError:  # No such kind, or none that computes.
        return []
    if not getattr(module, "is_available", bool)():
        return []
    return ["mps"] if kind == "mps" else [f"{kind}:{i}" for i in range(module.device_count())]


def _accelerators() -> list[str]:
    """Return the accelerators of this machine, that which PyTorch takes for the current one first."""
    import torch

    current = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kinds = [*([current.type] if current else []), "cuda", "mps"]
    return [device for kind in dict.fromkeys(kinds) for device in devices_of(kind)]


def pick_device(device: str) -> str:
    """Return the fastest device for `auto`, or the named device with its number.

    Args:
        device: `auto`, `cpu`, or an accelerator as PyTorch names it: `cuda`, `cuda:1`, `mps`, `xpu`, `npu`, ...

    Raises:
        UsageError: This machine has no such device.
    """
    if device == "auto":
        return [*_accelerators(), "cpu"][0]
    found = devices_of(kind_of(device))
    if device in found:
        return device
    if found and ":" not in device:
        return found[0]
    known = dict.fromkeys(["auto", "cpu", *_accelerators(), *found])
    raise UsageError(f"there is no device {device!r} on this machine", nearest(device, known))


def pick_dtype(dtype: str, device: str, half: str = "bfloat16", wide: bool = False) -> torch.dtype:
    """Choose the dtype to compute in.

    Args:
        dtype: `auto`, or a name of `DTYPES`.
        device: The device.
        half: The half precision that the model's weights are made for.
        wide: Whether the model's numbers can be larger than those of float16. Then `auto` never means float16.

    Raises:
        UsageError: The name is unknown, or the device cannot compute in it at any useful speed.
    """
    import torch

    if dtype == "auto":
        if device == "cpu":
            fast = any(
                getattr(torch.cpu, test, bool)() for test in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
            )
            return torch.bfloat16 if fast else torch.float32
        if half == "bfloat16" and _computes_bfloat16(device):
            return torch.bfloat16
        return torch.float32 if wide else torch.float16
    if dtype not in DTYPES:
        raise UsageError(f"there is no dtype {dtype!r}", nearest(dtype, ["auto", *sorted(set(DTYPES.values()))]))
    if device == "cpu" and DTYPES[dtype] == "float16":
        raise UsageError("float16 is not for a processor", "use bfloat16 or float32")
    return getattr(torch, DTYPES[dtype])


def _computes_bfloat16(device: str) -> bool:
    """Whether an accelerator computes in bfloat16 itself, rather than emulating it; one that cannot be asked does."""
    import torch

    if kind_of(device) == "mps":
        return torch.backends.mps.is_macos_or_newer(14, 0)
    asked = getattr(torch.get_device_module(device), "is_bf16_supported", None)
    if asked is None:
        return True
    with on_device(device):
        try:
            return bool(asked(including_emulation=False))
        except TypeError:  # Only some kinds tell emulation apart.
            return bool(asked())


@contextmanager
def out_of_memory(what: str, description: ModelDescription, device: str, running: bool = False) -> Iterator[None]:
    """Turn running out of memory into an error of one line with advice.

    Args:
        what: The load that memory does not suffice for, for the error.
        description: The model, with the settings that it was loaded with.
        device: The device.
        running: Whether the model generates, rather than being loaded.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise AutointerpError(f"not enough memory for {what}", memory_advice(description, device, running)) from error


def memory_advice(description: ModelDescription, device: str, running: bool) -> str:
    """List settings that reduce memory, the cheapest first, without those that are set or do not help.

    While a model is loaded, its weights need memory. While it runs, the images of a batch need memory too.
    """
    loading, family = description.loading, description.family
    advice = ["a smaller batch_size or size"] if running else []
    if running:
        advice += [] if loading.vae_slicing else ["loading.vae_slicing = true"]
        advice += [] if loading.vae_tiling else ["loading.vae_tiling = true"]
    if device != "cpu":
        advice += [] if running else ["--dtype bfloat16 or float16, if it is float32"]
    apart = kind_of(device) in OWN_MEMORY
    if apart and loading.offload == "none":
        advice.append('loading.offload = "model"')
    if loading.quantize == "none" and loading.offload != "sequential":
        advice.append(f'loading.quantize = "{"nf4" if kind_of(device) == "cuda" else "int8"}"')
    if running and family.denoiser == "unet" and not loading.attention_slicing:
        advice.append("loading.attention_slicing = true")
    if apart and loading.offload != "sequential" and loading.quantize == loading.compile == "none":
        advice.append('loading.offload = "sequential"')
    return f"in this order: {'; '.join(advice)}" if advice else "take a machine with more memory, or a smaller model"


def on_device(device: str) -> AbstractContextManager[Any]:
    """Return the context in which a device is the current one of its kind; an empty one where there is only one."""
    import torch

    if device == "cpu":
        return nullcontext()
    current = getattr(torch.get_device_module(device), "device", None)
    return nullcontext() if current is None else current(device)
