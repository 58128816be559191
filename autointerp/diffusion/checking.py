"""What a model must be to be run, checked from its configuration: before its weights are fetched or loaded.

`check_index` reads what `model_index.json` says, and takes no time. `check_model` asks the libraries: it imports them,
and makes the scheduler and the tokenizers, which takes seconds. Neither runs code that a model brings.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.arranging import check_quantizer
from autointerp.diffusion.failures import explained, is_installed, missing_library, needs_library
from autointerp.diffusion.lora_fusing import check_loras
from autointerp.diffusion.quiet import hush
from autointerp.diffusion.weights import check_listed_files, check_part_files, components_of
from autointerp.errors import AutointerpError
from autointerp.hub import asking, first_line, hub_answers

if TYPE_CHECKING:
    from autointerp.diffusion.description import ModelDescription

_OWN_CODE = "code that a model brings is not run; name a pipeline whose classes are those of diffusers and transformers"
_TEXT_ALONE = "name a model that makes pictures from text alone"
_NEEDS = {
    r"Inpaint|Fill(?=Pipeline)": "a picture and a mask",
    r"Img2Img|ImageToImage|Image2Image|Depth2Img|Pix2Pix|ImageVariation|Upscale|Edit|Redux|Reference": "a picture",
    r"ControlNet|Control(?=Pipeline)|Adapter": "a picture that controls it",
}
"""Words in the names of pipeline classes, and what such a pipeline needs beside a prompt."""
_MAKES = {r"Video|Animate": "videos", r"Audio|Music": "sound"}
_QUANTIZERS = {"bitsandbytes": "bitsandbytes", "torchao": "torchao", "gguf": "gguf", "quanto": "optimum-quanto"}
_QUANTIZERS |= {"gptq": "gptqmodel", "awq": "autoawq", "hqq": "hqq", "compressed-tensors": "compressed-tensors"}
"""Methods that weights may have been quantized by when they were saved, and the package that each needs."""


def check_index(name: str, index: Mapping[str, Any]) -> None:
    """Check what a pipeline's `model_index.json` says of its class and its parts.

    Args:
        name: The model's name, for errors.
        index: The file's content.

    Raises:
        AutointerpError: The pipeline brings code of its own, or needs more than a prompt, or makes no pictures.
    """
    kind = index.get("_class_name")
    if isinstance(kind, list):
        raise AutointerpError(f"the model {name!r} has a pipeline class of its own code: {kind[-1]}", _OWN_CODE)
    for words, what in _NEEDS.items():
        if re.search(words, str(kind)):
            raise AutointerpError(f"the model {name!r} needs {what}: it is a {kind}", _TEXT_ALONE)
    for words, what in _MAKES.items():
        if re.search(words, str(kind)):
            raise AutointerpError(f"the model {name!r} makes {what}: it is a {kind}", _TEXT_ALONE)
    if index.get("requires_aesthetics_score"):
        raise AutointerpError(f"the model {name!r} needs a picture: it is a refiner", _TEXT_ALONE)


def check_model(description: ModelDescription, steps: int) -> None:
    """Check that a model can be run, as far as that is known without its weights.

    Args:
        description: The model.
        steps: Number of denoising steps.

    Raises:
        AutointerpError: A part of it is missing, is of no class that is known, or takes what no pipeline here gives;
            a library is missing; or the scheduler's calls cannot be told apart.
    """
    _check_channels(description)
    _check_quantized(description)
    _check_files(description)
    hush()
    check_classes(description)
    check_loras(description)
    _check_scheduler(description, steps)
    _check_tokenizers(description)


def check_classes(description: ModelDescription) -> None:
    """Check that diffusers and transformers have the classes of a pipeline, and that it needs no more than a prompt.

    Raises:
        AutointerpError: One of them is missing, or the pipeline needs more.
    """
    import diffusers

    name, index, kind = description.name, description.index, description.family.pipeline_class
    if not hasattr(diffusers, kind):
        raise AutointerpError(
            f"diffusers {diffusers.__version__} has no pipeline class {kind!r}",
            "install a newer diffusers; a pipeline that brings its own code is not run",
        )
    for component in components_of(index, description.family.load_arguments):
        known = component.library in ("diffusers", "transformers") or hasattr(diffusers.pipelines, component.library)
        if not known:
            raise AutointerpError(
                f"the {component.part} of {name!r} is of its own code: {component.library}.{component.kind}", _OWN_CODE
            )
    pipeline = getattr(diffusers, kind)
    lacking = [part for part in _required(pipeline) if index.get(part, [None])[0] is None]
    if index and (lacking := [part for part in lacking if part not in description.family.may_lack]):
        raise AutointerpError(f"the model {name!r} has no {' and no '.join(lacking)}", "name one that is whole")
    for library in description.family.needs:
        # diffusers imports most such libraries into the pipeline's module where they are installed.
        if not hasattr(inspect.getmodule(pipeline), library) and find_spec(library) is None:
            raise needs_library(name, library)
    if (needs := _needs_more(pipeline)) is not None:
        raise AutointerpError(f"the model {name!r} {needs}: it is a {kind}", _TEXT_ALONE)


def _required(pipeline: Any) -> list[str]:
    """List the parts that a pipeline class cannot do without."""
    optional = set(getattr(pipeline, "_optional_components", ()))
    given = inspect.signature(pipeline.__init__).parameters.values()
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [one.name for one in given if one.default is one.empty and one.kind in plain and one.name != "self"]
    return [part for part in needed if part not in optional]


def _needs_more(pipeline: Any) -> str | None:
    """Return a clause on what a pipeline class needs beside a prompt; None where nothing is known that it needs."""
    from diffusers.pipelines import auto_pipeline

    parameters = inspect.signature(pipeline.__call__).parameters
    if "prompt" not in parameters:
        return "takes no prompt"
    if "num_frames" in parameters or "video_length" in parameters:
        return "makes videos"
    if "mask_image" in parameters:
        return "needs a picture and a mask"
    made = {key: getattr(auto_pipeline, f"AUTO_{key}_PIPELINES_MAPPING", {}) for key in ("TEXT2IMAGE", "IMAGE2IMAGE")}
    if pipeline in made["IMAGE2IMAGE"].values() and pipeline not in made["TEXT2IMAGE"].values():
        return "needs a picture"
    needed = [
        name
        for name, one in parameters.items()
        if one.default is one.empty and name not in ("self", "prompt") and one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    return f"needs {' and '.join(needed)}" if needed else None


def _check_files(description: ModelDescription) -> None:
    """Check the files of weights: those of a folder, or the list of a repository's, where the hub can be asked."""
    if description.config is not None or description.shared is not None:
        return
    without = {part for part, value in description.family.load_arguments.items() if value is None}
    how = (description.index, description.loading.variant, without)
    if description.commit is None:
        check_part_files(description.name, Path(description.source), *how)
    elif hub_answers(description.loading.local_files_only):
        from huggingface_hub import HfApi

        with asking(description.source, revision=description.commit):
            files = HfApi().list_repo_files(description.source, revision=description.commit)
        check_listed_files(description.name, files, *how)


def _check_channels(description: ModelDescription) -> None:
    """Check that the denoiser takes the latents of the autoencoder alone; packed, 2x2 of them are one token."""
    family, configs = description.family, description.configs
    taken, made = configs[family.denoiser].get("in_channels"), configs["vae"].get("latent_channels")
    if family.open or type(taken) is not int or type(made) is not int or taken in (made, 4 * made):
        return
    if taken > made:
        raise AutointerpError(
            f"the {family.denoiser} of {description.name!r} takes {taken} channels, and its autoencoder makes {made}: "
            "it needs a picture or a mask too",
            _TEXT_ALONE,
        )


def _check_quantized(description: ModelDescription) -> None:
    """Check that the library is there by which a part is quantized, or was when it was saved."""
    check_quantizer(description)
    for config in description.configs.values():
        saved = config.get("quantization_config")
        method = str(saved.get("quant_method", "")) if isinstance(saved, dict) else ""
        package = next((package for start, package in _QUANTIZERS.items() if method.startswith(start)), None)
        if package is not None and not is_installed(package):
            raise needs_library(description.name, package)


def _check_scheduler(description: ModelDescription, steps: int) -> None:
    """Check that the scheduler can be made, and that its calls of the denoiser can be told apart."""
    import diffusers

    from autointerp.diffusion.calls import steps_of_calls

    config, named = description.configs.get("scheduler"), description.index.get("scheduler")
    if config is None or not named:
        return
    kind = str(named[1])
    if not hasattr(diffusers, kind):
        raise AutointerpError(
            f"diffusers {diffusers.__version__} has no scheduler {kind!r}", "install a newer diffusers"
        )
    try:
        scheduler = getattr(diffusers, kind).from_config(dict(config))
        shift = {"mu": 1.0} if scheduler.config.get("use_dynamic_shifting") else {}
        scheduler.set_timesteps(steps, **shift, **description.family.schedule(steps))
    except Exception as error:  # noqa: BLE001 - schedulers raise whatever numpy and torch do
        if (library := missing_library(description.name, error)) is not None:
            raise library from error
        if description.family.open:
            return  # Its pipeline may set the timesteps in another way.
        raise AutointerpError(
            f"the scheduler {kind} of {description.name!r} cannot do {steps} steps: {first_line(error)}",
            "use another number of steps, or a model with another scheduler",
        ) from error
    steps_of_calls(scheduler, steps, description.family.unrun)


def _check_tokenizers(description: ModelDescription) -> None:
    """Check that tokenizers in a folder can be read, which may take a library that is not installed."""
    import transformers

    folder = Path(description.config or description.source)
    for component in components_of(description.index):
        kind = getattr(transformers, component.kind, None) if "Tokenizer" in component.kind else None
        if kind is None or not (folder / component.part).is_dir():
            continue
        try:
            kind.from_pretrained(folder / component.part)
        except Exception as error:  # noqa: BLE001 - told in a line, whatever it is
            raise explained(error, description) from error
