"""Loading a pipeline, quietly, with errors that a person can act on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.arranging import arrange, check_loading, quantization
from autointerp.diffusion.checkpoints import holds_pipeline, shapes_of
from autointerp.diffusion.describe import SHAPES, ModelDescription, describe_model
from autointerp.diffusion.devices import on_device, out_of_memory, pick_device, pick_dtype
from autointerp.diffusion.families import Configs, Family, ModelDefaults
from autointerp.errors import AutointerpError, UsageError, is_out_of_memory, nearest
from autointerp.hub import asking, first_line, hub_answers, refusal
from autointerp.settings import LoadingSettings

if TYPE_CHECKING:
    import torch

_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError)
_BARE_ERRORS = ("SafetensorError", "SingleFileComponentError")  # of the libraries, with no base class but Exception


@dataclass(frozen=True)
class Model:
    """A loaded pipeline. `dtype` is what it computes in; on a processor its weights are float32 nevertheless."""

    description: ModelDescription
    pipeline: Any
    device: str
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """The model's name."""
        return self.description.name

    @property
    def revision(self) -> str:
        """What names its weights."""
        return self.description.revision

    @property
    def family(self) -> Family:
        """What is known of its kind."""
        return self.description.family

    @property
    def configs(self) -> Configs:
        """Its components' configurations."""
        return self.description.configs

    @property
    def defaults(self) -> ModelDefaults:
        """How it is run unless told otherwise."""
        return self.description.defaults

    @property
    def aliases(self) -> Mapping[str, str]:
        """Layer name -> hookpoint."""
        return self.description.aliases

    @property
    def denoiser(self) -> torch.nn.Module:
        """The component that runs once a step and branch."""
        return getattr(self.pipeline, self.family.denoiser)

    def module(self, hookpoint: str) -> torch.nn.Module:
        """The module at a dotted path of the pipeline.

        Raises:
            UsageError: There is none; the hint holds the nearest names.
        """
        component, _, path = hookpoint.partition(".")
        try:
            return getattr(self.pipeline, component).get_submodule(path)
        except AttributeError:
            known = [f"{self.family.denoiser}.{name}" for name, _ in self.denoiser.named_modules() if name]
            raise UsageError(f"{self.name} has no hookpoint {hookpoint!r}", nearest(hookpoint, known)) from None

    def autocast(self) -> AbstractContextManager[Any]:
        """The context that generation runs in."""
        import torch

        if self.device == "cpu" and self.dtype != torch.float32:
            return torch.autocast("cpu", self.dtype)
        return nullcontext()


def load_model(
    name: str = SHAPES,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    loading: LoadingSettings | None = None,
) -> Model:
    """Load a pipeline ready to generate.

    Args:
        name: `shapes`, a folder, a single-file checkpoint, or a hub id.
        revision: Branch, tag or commit of a hub id.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes the fastest there is.
        dtype: `auto`, `float32`, `bfloat16` or `float16`. On a processor, weights are float32 and bfloat16 means
            autocast; `auto` takes it where the processor multiplies bfloat16 natively.
        loading: What is read, and how it is kept in memory; everything on the device if None.

    Raises:
        AutointerpError: There is no such model, it cannot be loaded, or memory does not suffice.
        UsageError: The device or dtype does not exist here, or a setting does not go with the model or the device.
    """
    description = describe_model(name, revision, loading)
    _hush()
    import torch

    device = pick_device(device)
    compute = pick_dtype(dtype, device, description.family.dtype)
    check_loading(description, device)
    with out_of_memory(description.name, description, device), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = _read(description, torch.float32 if device == "cpu" else compute, device)
        for component in pipeline.components.values():
            if isinstance(component, torch.nn.Module):
                component.eval().requires_grad_(False)
        arrange(pipeline, description, device)
    pipeline.set_progress_bar_config(disable=True)
    if device == "cpu" and getattr(pipeline, "vae", None) is not None:
        pipeline.vae.to(memory_format=torch.channels_last)
    return Model(description, pipeline, device, compute)


def _read(description: ModelDescription, dtype: torch.dtype, device: str) -> Any:
    """The pipeline on the processor, with the errors of reading it as one line each."""
    import diffusers

    kind, loading = description.family.pipeline_class, description.loading
    if not hasattr(diffusers, kind):
        raise AutointerpError(
            f"diffusers {diffusers.__version__} has no pipeline class {kind!r}",
            "install a newer diffusers; a pipeline that brings its own code is not run",
        )
    try:
        with on_device(device):  # bitsandbytes puts what it quantizes on the present one.
            if description.config is not None:
                return _single_file(description, dtype)
            given: dict[str, Any] = {"variant": loading.variant} if loading.variant else {}
            if (how := quantization(loading, dtype)) is not None:
                parts = {description.family.denoiser: how}
                given["quantization_config"] = diffusers.PipelineQuantizationConfig(quant_mapping=parts)
            return _pretrained(description, description.source, dtype, given)
    except AutointerpError:
        raise
    except Exception as error:
        if is_out_of_memory(error) or not (isinstance(error, _ERRORS) or type(error).__name__ in _BARE_ERRORS):
            raise
        raise _explained(error, description) from error


def _explained(error: Exception, description: ModelDescription) -> AutointerpError:
    """What an error of reading a model means for a person."""
    name, variant = description.name, description.loading.variant
    if description.commit is not None:
        local, repo = description.loading.local_files_only, description.config or description.source
        if known := refusal(error, repo, revision=description.commit, local_files_only=local):
            return known
    if type(error).__name__ == "SafetensorError":
        return AutointerpError(f"the weights of {name!r} are damaged: {first_line(error)}", "fetch the model again")
    if type(error).__name__ == "SingleFileComponentError":
        return AutointerpError(
            f"the checkpoint {name!r} is not whole: {first_line(error)}", "give a whole one, or a pipeline's folder"
        )
    if variant is not None and "variant" in str(error):
        return AutointerpError(
            f"the model {name!r} has no weights of the variant {variant!r}",
            "leave out loading.variant, or name one that its files have",
        )
    return AutointerpError(
        f"the model {name!r} cannot be loaded: {first_line(error)}",
        "check that its files are complete, or fetch it again",
    )


def _pretrained(description: ModelDescription, source: str, dtype: torch.dtype, given: Mapping[str, Any]) -> Any:
    """A pipeline in diffusers' own form, from a folder or the hub; `given` are more arguments, or components."""
    import diffusers

    more = {**description.family.load_arguments, **_where(description), **given}
    return diffusers.DiffusionPipeline.from_pretrained(source, torch_dtype=dtype, **more)


def _where(description: ModelDescription) -> dict[str, Any]:
    """What a library is told of a hub repository; nothing of a folder."""
    if description.commit is None:
        return {}
    return {
        "revision": description.commit,
        "local_files_only": not hub_answers(description.loading.local_files_only),
    }


def _single_file(description: ModelDescription, dtype: torch.dtype) -> Any:
    """A pipeline from a checkpoint and a configuration.

    Checkpoints of a denoiser alone, as FLUX's are, or without text encoders, as some of Stable Diffusion 3, get the
    rest from where their configuration is.
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
            given[part] = kind.from_pretrained(config, subfolder=part, dtype=dtype, **_where(description))
    return pipeline.from_single_file(
        file, config=folder, torch_dtype=dtype, local_files_only=True, **family.load_arguments, **given
    )


def _configuration(description: ModelDescription, config: str) -> str:
    """The folder in the hub's cache with everything of a pipeline but weights."""
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


def _hush() -> None:
    """Silence bars and advice of the libraries below: stderr belongs to our own progress."""
    import logging as standard

    for name in ("torchao", "torch.utils._pytree"):  # Of kernels for other machines, where torchao is installed.
        standard.getLogger(name).setLevel(standard.ERROR)
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    for logging in (transformers_logging, diffusers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
