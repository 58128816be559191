"""Arrange a loaded pipeline for memory and speed, by diffusers' own means; no setting is ignored in silence."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.lora_fusing import check_loras
from autointerp.errors import AutointerpError, UsageError

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.description import ModelDescription
    from autointerp.diffusion.loading_options import LoadingSettings


def check_loading(description: ModelDescription, device: str) -> None:
    """Check that the settings of the loading go with a device and with each other.

    Raises:
        UsageError: Two settings, or a setting and the device, exclude each other.
        AutointerpError: A library is missing.
    """
    check_quantizer(description)
    check_loras(description)
    loading = description.loading
    if loading.quantize == "nf4" and device == "cpu":
        raise UsageError(
            "loading.quantize is 'nf4', which diffusers only does on a GPU", "take int8, or another device"
        )
    if loading.offload != "none" and device == "cpu":
        raise UsageError(
            f"loading.offload is {loading.offload!r}, and there is no accelerator to offload from",
            "leave it out, or give --device",
        )
    for setting in ("quantize", "compile"):
        if loading.offload == "sequential" and getattr(loading, setting) != "none":
            raise UsageError(
                f"loading.offload 'sequential' does not go with loading.{setting}", "take offload 'model', or leave it"
            )


def check_quantizer(description: ModelDescription) -> None:
    """Check that the model can be quantized as the settings say, on whatever device.

    Raises:
        UsageError: It is a single-file checkpoint.
        AutointerpError: The library is missing.
    """
    from importlib.util import find_spec

    loading = description.loading
    library = {"nf4": "bitsandbytes", "int8": "torchao", "fp8": "torchao"}.get(loading.quantize)
    if library and find_spec(library) is None:
        raise AutointerpError(
            f"loading.quantize is {loading.quantize!r}, and {library} is not installed",
            "pip install 'autointerp[quantized]'",
        )
    if library and description.config is not None:
        raise UsageError(
            "loading.quantize does not go with a single-file checkpoint, which diffusers loads as it is",
            "save it as a pipeline's folder first, with diffusers' from_single_file and save_pretrained",
        )


def arrange(pipeline: Any, description: ModelDescription, device: str) -> None:
    """Apply the settings to a loaded pipeline, and put it on its device.

    Raises:
        UsageError: A setting does not apply to this pipeline.
    """
    loading, denoiser = description.loading, getattr(pipeline, description.family.denoiser)
    if loading.attention_slicing:
        if not hasattr(denoiser, "set_attention_slice"):  # diffusers would ignore it in silence.
            raise UsageError(
                f"loading.attention_slicing is for U-Nets, and {description.name} has a {type(denoiser).__name__}",
                "leave it out",
            )
        pipeline.enable_attention_slicing()
    for setting in ("slicing", "tiling"):
        if getattr(loading, f"vae_{setting}"):
            try:
                getattr(pipeline.vae, f"enable_{setting}")()
            except (AttributeError, NotImplementedError):
                raise UsageError(
                    f"the autoencoder of {description.name} has no {setting}", f"leave out loading.vae_{setting}"
                ) from None
    if loading.compile != "none":
        compile_blocks(denoiser, loading.compile, description.name)
    if loading.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif loading.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)


def compile_blocks(denoiser: torch.nn.Module, backend: str, name: str) -> None:
    """Compile a denoiser's repeated blocks, one by one, so that forward hooks still work.

    torch compiles a module together with its hooks, and again whenever a hook is added or removed. So compile the
    block's `forward`, which the block's own hooks wrap. While a module inside a block has a hook, the block runs its
    original forward.

    Raises:
        UsageError: The denoiser does not say which blocks it repeats.
    """
    import torch

    kinds = getattr(denoiser, "_repeated_blocks", None) or getattr(denoiser, "_no_split_modules", None) or ()
    blocks = [module for module in denoiser.modules() if type(module).__name__ in kinds]
    if not blocks:
        raise UsageError(f"{name} does not say which of its blocks can be compiled", "leave out loading.compile")
    for block in blocks:
        written = block.forward
        block.forward = _unless_hooked(block, written, torch.compile(written, backend=backend))


def _unless_hooked(block: torch.nn.Module, written: Any, compiled: Any) -> Any:
    """Return a forward that runs `compiled`, or `written` while a module inside the block has a hook."""
    inside = [module for module in block.modules() if module is not block]

    @functools.wraps(written)
    def forward(*args: Any, **kwargs: Any) -> Any:
        hooked = any(module._forward_hooks or module._forward_pre_hooks for module in inside)
        return (written if hooked else compiled)(*args, **kwargs)

    return forward


def quantization(loading: LoadingSettings, dtype: torch.dtype) -> Any:
    """Return diffusers' configuration that quantizes the denoiser's weights; None where they stay as they are."""
    import diffusers

    if loading.quantize == "none":
        return None
    if loading.quantize == "nf4":
        return diffusers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig

    kinds = {"int8": Int8WeightOnlyConfig, "fp8": Float8WeightOnlyConfig}
    return diffusers.TorchAoConfig(kinds[loading.quantize]())
