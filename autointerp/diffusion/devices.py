"""Where a model computes, in what, and what to do where there is not enough memory for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from autointerp.errors import AutointerpError, UsageError, is_out_of_memory, nearest

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.describe import ModelDescription

DTYPES = {"float32": "float32", "fp32": "float32", "bfloat16": "bfloat16", "bf16": "bfloat16"}
DTYPES |= {"float16": "float16", "fp16": "float16"}


def pick_device(device: str) -> str:
    """`auto` as the fastest device here; any other as it is, if it is here.

    Raises:
        UsageError: There is no such device.
    """
    import torch

    here = ["cpu"]
    here += [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    here += ["mps"] if torch.backends.mps.is_available() else []
    if device == "auto":
        return here[1] if len(here) > 1 else "cpu"
    named = "cuda:0" if device == "cuda" else device
    if named not in here:
        raise UsageError(f"there is no device {device!r} on this machine", nearest(device, ["auto", *here]))
    return named


def pick_dtype(dtype: str, device: str, half: str = "bfloat16") -> torch.dtype:
    """What to compute in on a device; `half` is the half precision that the model's weights are made for.

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
        if device == "mps":
            native = torch.backends.mps.is_macos_or_newer(14, 0)
        else:
            with on_device(device):
                native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if half == "bfloat16" and native else torch.float16
    if dtype not in DTYPES:
        raise UsageError(f"there is no dtype {dtype!r}", nearest(dtype, ["auto", *sorted(set(DTYPES.values()))]))
    if device == "cpu" and DTYPES[dtype] == "float16":
        raise UsageError("float16 is not for a processor", "use bfloat16 or float32")
    return getattr(torch, DTYPES[dtype])


@contextmanager
def out_of_memory(what: str, description: ModelDescription, device: str, running: bool = False) -> Iterator[None]:
    """Turn running out of memory into one line with what reduces it.

    Args:
        what: What there is not enough memory for.
        description: The model, with the settings that it was loaded with.
        device: Where it runs.
        running: Whether it generates, rather than being loaded.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise AutointerpError(f"not enough memory for {what}", memory_advice(description, device, running)) from error


def memory_advice(description: ModelDescription, device: str, running: bool) -> str:
    """What reduces memory there, the cheapest first, without what is on already or does not help.

    While a model is loaded its weights are what counts; while it runs, what the images of a batch need comes on top.
    """
    loading, family = description.loading, description.family
    advice = ["a smaller batch_size or size"] if running else []
    if running:
        advice += [] if loading.vae_slicing else ["loading.vae_slicing = true"]
        advice += [] if loading.vae_tiling else ["loading.vae_tiling = true"]
    if device != "cpu":
        advice += [] if running else ["--dtype bfloat16 or float16, if it is float32"]
    if device.startswith("cuda") and loading.offload == "none":  # Elsewhere both are the same memory.
        advice.append('loading.offload = "model"')
    if loading.quantize == "none" and loading.offload != "sequential":
        advice.append(f'loading.quantize = "{"nf4" if device.startswith("cuda") else "int8"}"')
    if running and family.denoiser == "unet" and not loading.attention_slicing:
        advice.append("loading.attention_slicing = true")
    if device.startswith("cuda") and loading.offload != "sequential" and loading.quantize == loading.compile == "none":
        advice.append('loading.offload = "sequential"')
    return f"in this order: {'; '.join(advice)}" if advice else "take a machine with more memory, or a smaller model"


def on_device(device: str) -> AbstractContextManager[Any]:
    """The context in which a CUDA device is the present one; nothing of any other."""
    import torch

    return torch.cuda.device(device) if device.startswith("cuda") else nullcontext()
