"""Load a pipeline quietly, with errors that name the next step."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.arranging import arrange, check_loading, quantization
from autointerp.diffusion.checking import check_classes
from autointerp.diffusion.checkpoints import holds_pipeline, shapes_of
from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.description import ModelDescription
from autointerp.diffusion.devices import on_device, out_of_memory, pick_device, pick_dtype
from autointerp.diffusion.failures import explained
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.diffusion.lora_fusing import fuse_loras
from autointerp.diffusion.model import Model
from autointerp.diffusion.parts import check_filled, load_part, load_parts
from autointerp.diffusion.quiet import hush
from autointerp.diffusion.weights import check_part_files
from autointerp.errors import AutointerpError, is_out_of_memory
from autointerp.hub import asking, hub_answers
from autointerp.worlds import DEFAULT_MODEL

if TYPE_CHECKING:
    import torch

_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError)
_BARE_ERRORS = ("SafetensorError", "SingleFileComponentError")  # These have no base class but Exception.


def load_model(
    name: str = DEFAULT_MODEL,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    loading: LoadingSettings | None = None,
) -> Model:
    """Load a pipeline ready to generate.

    Args:
        name: `shapes-turbo`, `shapes`, a folder, a single-file checkpoint, or a hub id.
        revision: Branch, tag or commit of a hub id.
        device: `auto`, which takes the fastest there is, or a device as PyTorch names it, such as `cuda:1`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`. On a processor, weights are float32 and bfloat16 means
            autocast; `auto` takes it where the processor multiplies bfloat16 natively.
        loading: The files to read, and how weights are kept in memory; everything on the device if None.

    Raises:
        AutointerpError: There is no such model, it cannot be loaded, or memory does not suffice.
        UsageError: The device or dtype does not exist here, or a setting does not go with the model or the device.
    """
    description = describe_model(name, revision, loading)
    hush()
    import torch

    device = pick_device(device)
    compute = pick_dtype(dtype, device, description.family.dtype)
    check_loading(description, device)
    with out_of_memory(description.name, description, device), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline, notes = _read(description, torch.float32 if device == "cpu" else compute, device)
        check_filled(description.name, pipeline.components)
        if description.loras:
            notes += fuse_loras(pipeline, description)
        for component in pipeline.components.values():
            if isinstance(component, torch.nn.Module):
                component.eval().requires_grad_(False)
        arrange(pipeline, description, device)
    pipeline.set_progress_bar_config(disable=True)
    vae = getattr(pipeline, "vae", None)
    # Video autoencoders have kernels of five dimensions, which no such format holds.
    if device == "cpu" and vae is not None and all(weight.ndim < 5 for weight in vae.parameters()):
        vae.to(memory_format=torch.channels_last)
    return Model(description, pipeline, device, compute, tuple(notes))


def _read(description: ModelDescription, dtype: torch.dtype, device: str) -> tuple[Any, list[str]]:
    """Read the pipeline into main memory, with notes; each error of a library becomes one line."""
    check_classes(description)
    try:
        with on_device(device):  # bitsandbytes puts quantized weights on the current device.
            if description.config is not None:
                return _single_file(description, dtype)
            how = quantization(description.loading, dtype)
            return _pretrained(description, description.source, dtype, _shared(description, dtype), how)
    except AutointerpError:
        raise
    except Exception as error:
        if is_out_of_memory(error) or not (isinstance(error, _ERRORS) or type(error).__name__ in _BARE_ERRORS):
            raise
        raise explained(error, description) from error


def _pretrained(
    description: ModelDescription, source: str, dtype: torch.dtype, given: Mapping[str, Any], quantized: Any = None
) -> tuple[Any, list[str]]:
    """Load a pipeline in diffusers' own form, from a folder or the hub.

    Args:
        description: The model.
        source: The folder or the hub id.
        dtype: The dtype of the weights.
        given: Parts that are there already, or None for parts to leave out.
        quantized: How the denoiser is quantized, if it is.

    Returns:
        The pipeline, and notes of what was left out.
    """
    import diffusers

    family, variant = description.family, description.loading.variant
    # The base class fetches and loads optional components of its subclasses even where they are None.
    pipeline = getattr(diffusers, family.pipeline_class)
    given = {**family.load_arguments, **given}
    folder = source
    if description.commit is not None:
        more = {"variant": variant} if variant else {}
        folder = str(pipeline.download(source, **_where(description), **more, **given))
    index = pipeline.load_config(folder)
    check_part_files(description.name, Path(folder), index, variant, given)
    quantization = {} if quantized is None else {family.denoiser: quantized}
    how = {"dtype": dtype, "variant": variant, "quantization": quantization}
    parts, notes = load_parts(description.name, Path(folder), index, given, **how)
    return pipeline.from_pretrained(folder, torch_dtype=dtype, **given, **parts), notes


def _shared(description: ModelDescription, dtype: torch.dtype) -> dict[str, Any]:
    """Return the parts that a model shares with another pipeline, by name; none where its own folder has them all."""
    import diffusers

    if (folder := description.shared) is None:
        return {}
    own = {part.name: None for part in Path(description.source).iterdir() if part.is_dir()}
    # See `_pretrained`: the base class would load optional components that are given as None.
    kind = getattr(diffusers, description.family.pipeline_class)
    pipeline = kind.from_pretrained(str(folder), torch_dtype=dtype, **own)
    return {name: part for name, part in pipeline.components.items() if part is not None}


def _where(description: ModelDescription) -> dict[str, Any]:
    """Return the arguments that name a commit of the hub; none for a folder."""
    if description.commit is None:
        return {}
    return {
        "revision": description.commit,
        "local_files_only": not hub_answers(description.loading.local_files_only),
    }


def _single_file(description: ModelDescription, dtype: torch.dtype) -> tuple[Any, list[str]]:
    """Load a pipeline from a checkpoint and a configuration, with notes.

    Some checkpoints hold a denoiser alone (FLUX) or lack text encoders (some of Stable Diffusion 3). They get the other
    components from the pipeline that their configuration is from.
    """
    import diffusers
    import transformers
    from diffusers.loaders.single_file_utils import is_clip_model_in_single_file, is_t5_in_single_file

    file, config, family = description.source, str(description.config), description.family
    pipeline = getattr(diffusers, family.pipeline_class)
    if not hasattr(pipeline, "from_single_file"):
        raise AutointerpError(f"diffusers reads no single file as a {family.pipeline_class}", "give a folder")
    held = shapes_of(Path(file))
    folder = config if description.commit is None else _configuration(description, config)
    index = pipeline.load_config(folder)
    if not holds_pipeline(held):
        kind = getattr(diffusers, index[family.denoiser][1])
        denoiser = kind.from_single_file(file, config=folder, subfolder=family.denoiser, torch_dtype=dtype)
        return _pretrained(description, config, dtype, {family.denoiser: denoiser})
    given: dict[str, Any] = {}
    for part in (part for part in index if part.startswith("text_encoder") and index[part][0] == "transformers"):
        kind = getattr(transformers, index[part][1])
        if not (is_clip_model_in_single_file(kind, held) or ("T5" in kind.__name__ and is_t5_in_single_file(held))):
            what = f"the {part} of {description.name!r}"
            given[part], _ = load_part(what, kind, config, dtype, subfolder=part, **_where(description))
    more = {"local_files_only": True, **family.load_arguments, **given}
    try:
        return pipeline.from_single_file(file, config=folder, torch_dtype=dtype, **more), []
    except NotImplementedError as error:
        if "meta tensor" not in str(error):
            raise
        raise _not_filled(description, file, folder, index) from error


def _not_filled(description: ModelDescription, file: str, folder: str, index: Mapping[str, Any]) -> AutointerpError:
    """Return the error for a checkpoint that lacks weights, which diffusers finds out without saying of which part."""
    import diffusers

    lacking = " or ".join(part for part in index if part.startswith("text_encoder"))
    for part in (description.family.denoiser, "vae"):
        try:
            getattr(diffusers, index[part][1]).from_single_file(file, config=folder, subfolder=part)
        except NotImplementedError:
            lacking = part
            break
    return AutointerpError(
        f"the {lacking} of {description.name!r} lacks some of its weights",
        "give a whole checkpoint, or a pipeline's folder",
    )


def _configuration(description: ModelDescription, config: str) -> str:
    """Fetch all files of a pipeline but its weights, and return their folder in the hub's cache."""
    from huggingface_hub import snapshot_download

    local = description.loading.local_files_only
    with asking(config, revision=description.commit, local_files_only=local):
        return str(
            snapshot_download(
                config,
                revision=description.commit,
                allow_patterns=["*.json", "*.txt", "*.model"],
                ignore_patterns=["*.index.json"],
                local_files_only=not hub_answers(local),
            )
        )
