"""What a loaded pipeline is told about memory and speed, by diffusers' own means; nothing is silently left out."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from autointerp.errors import AutointerpError, UsageError

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.describe import ModelDescription
    from autointerp.settings import LoadingSettings


def check_loading(description: ModelDescription, device: str) -> None:
    """Whether the settings of the loading go with a device and with each other.

    Raises:
        UsageError: They do not.
        AutointerpError: A library is missing.
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


def arrange(pipeline: Any, description: ModelDescription, device: str) -> None:
    """Do with a loaded pipeline what the settings say, and put it on its device.

    Raises:
        UsageError: It cannot be done with this pipeline.
    """
    loading, denoiser = description.loading, getattr(pipeline, description.family.denoiser)
    if loading.attention_slicing:
        if not hasattr(denoiser, "set_attention_slice"):  # diffusers would leave it out in silence
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
    """Compile what a denoiser repeats, block by block, in a way that forward hooks see through.

    Of a compiled module torch compiles the hooks too, and everything anew when one comes or goes. So it is not the
    module that is compiled but its `forward`, which a module's own hooks stand around; and while a hook is on
    something inside a block, that block runs as it was written.

    Raises:
        UsageError: The denoiser does not say what it repeats.
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
    inside = [module for module in block.modules() if module is not block]

    @functools.wraps(written)
    def forward(*args: Any, **kwargs: Any) -> Any:
        hooked = any(module._forward_hooks or module._forward_pre_hooks for module in inside)
        return (written if hooked else compiled)(*args, **kwargs)

    return forward


def quantization(loading: LoadingSettings, dtype: torch.dtype) -> Any:
    """The configuration for diffusers of how the denoiser's weights are quantized; None where they are not."""
    import diffusers

    if loading.quantize == "none":
        return None
    if loading.quantize == "nf4":
        return diffusers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig

    kinds = {"int8": Int8WeightOnlyConfig, "fp8": Float8WeightOnlyConfig}
    return diffusers.TorchAoConfig(kinds[loading.quantize]())
