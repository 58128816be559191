"""Add LoRAs to the weights of a loaded pipeline, by diffusers' own loader.

They are fused, so that the pipeline has the modules, hookpoints and speed of one without them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.loras import Lora
from autointerp.errors import AutointerpError, UsageError, is_out_of_memory
from autointerp.hub import first_line

if TYPE_CHECKING:
    from autointerp.diffusion.description import ModelDescription

_DOWN = re.compile(r"\.(?:lora_A|lora_down|lora\.down|lora_linear_layer\.down)\.(?:\w+\.)?weight$")
"""How the first matrix of a module's LoRA is named, after diffusers has read the file."""
_OTHER = "a LoRA fits the model that it was trained on, and others of the same configuration"


def check_loras(description: ModelDescription) -> None:
    """Check that a model can take the LoRAs of its settings, without loading it.

    Raises:
        UsageError: LoRAs do not go with another setting, or diffusers loads none into such a pipeline.
        AutointerpError: peft is not installed.
    """
    import diffusers

    if not description.loras:
        return
    if find_spec("peft") is None:
        raise AutointerpError("loading.lora needs the library peft", "pip install 'autointerp[lora]'")
    if description.loading.quantize != "none":
        raise UsageError(
            "loading.lora does not go with loading.quantize: a LoRA is added to whole weights",
            "leave one of them out; loading.offload saves memory too",
        )
    kind = description.family.pipeline_class
    if not getattr(getattr(diffusers, kind, None), "_lora_loadable_modules", None):
        raise UsageError(f"diffusers loads no LoRA into a {kind}", "leave loading.lora out")


def fuse_loras(pipeline: Any, description: ModelDescription) -> list[str]:
    """Add each LoRA of a description to the pipeline's weights, multiplied by its weight.

    Returns:
        Notes on parts of a LoRA that the pipeline has no place for.

    Raises:
        AutointerpError: A LoRA belongs to another model, or its values are not finite.
    """
    names = [part for part in pipeline._lora_loadable_modules if getattr(pipeline, part, None) is not None]
    return [note for lora in description.loras for note in _fuse(pipeline, names, lora, description)]


def _fuse(pipeline: Any, parts: Sequence[str], lora: Lora, description: ModelDescription) -> list[str]:
    """Add one LoRA to the weights; return a note where some of it was left out."""
    channels = _channels(pipeline, description)
    where = {"weight_name": lora.file.name, "local_files_only": True}
    try:
        read = type(pipeline).lora_state_dict(str(lora.file.parent), **where)
        pipeline.load_lora_weights(str(lora.file.parent), adapter_name="added", **where)
        wanted = sum(1 for key in (read[0] if isinstance(read, tuple) else read) if _DOWN.search(key))
        placed = sum(_holds(module) for part in parts for module in getattr(pipeline, part).modules())
        if not placed:
            raise AutointerpError(f"the LoRA {lora.name} has no module of {description.name}", _OTHER)
        if _channels(pipeline, description) != channels:
            raise AutointerpError(f"the LoRA {lora.name} needs a picture beside the prompt", "take one for text alone")
        pipeline.fuse_lora(list(parts), lora_scale=lora.weight, safe_fusing=True, adapter_names=["added"])
        pipeline.unload_lora_weights()
    except AutointerpError:
        raise
    except Exception as error:  # diffusers and peft raise whatever torch and their own checks do.
        if is_out_of_memory(error):
            raise
        raise AutointerpError(
            f"the LoRA {lora.name} does not fit {description.name}: {first_line(error)}", _OTHER
        ) from error
    if placed < wanted:
        return [f"{wanted - placed} of the {wanted} modules of the LoRA {lora.name} are not in {description.name}"]
    return []


def _holds(module: Any) -> bool:
    """Whether a module has the LoRA that is being added."""
    return any("added" in getattr(module, key, ()) for key in ("lora_A", "lora_embedding_A"))


def _channels(pipeline: Any, description: ModelDescription) -> Any:
    """Return the number of channels that the denoiser takes, which a LoRA for control changes."""
    return getattr(pipeline, description.family.denoiser).config.get("in_channels")
