"""Loading a pipeline, quietly, with errors that a person can act on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.describe import SHAPES, ModelDescription, describe_model, hub_answers
from autointerp.diffusion.families import Configs, Family, ModelDefaults
from autointerp.errors import AutointerpError, UsageError, nearest

if TYPE_CHECKING:
    import torch

DTYPES = {"float32": "float32", "fp32": "float32", "bfloat16": "bfloat16", "bf16": "bfloat16"}
DTYPES |= {"float16": "float16", "fp16": "float16"}


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


def load_model(name: str = SHAPES, revision: str | None = None, device: str = "auto", dtype: str = "auto") -> Model:
    """Load a pipeline ready to generate.

    Args:
        name: `shapes`, a folder, or a hub id.
        revision: Branch, tag or commit of a hub id.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes the fastest there is.
        dtype: `auto`, `float32`, `bfloat16` or `float16`. On a processor, weights are float32 and bfloat16 means
            autocast; `auto` takes it where the processor multiplies bfloat16 natively.

    Raises:
        AutointerpError: There is no such model, it cannot be loaded, or memory does not suffice.
        UsageError: The device or dtype does not exist here.
    """
    description = describe_model(name, revision)
    _hush()
    import torch

    device = pick_device(device)
    compute = pick_dtype(dtype, device, description.family.dtype)
    weights = torch.float32 if device == "cpu" else compute
    import diffusers

    family, where = description.family, dict(description.family.load_arguments)
    if not hasattr(diffusers, family.pipeline_class):
        raise AutointerpError(
            f"diffusers {diffusers.__version__} has no pipeline class {family.pipeline_class!r}",
            "install a newer diffusers; a pipeline that brings its own code is not run",
        )
    if not Path(description.source).is_dir():
        where |= {"revision": description.revision, "local_files_only": not hub_answers()}
    with out_of_memory(description.name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pipeline = diffusers.DiffusionPipeline.from_pretrained(description.source, torch_dtype=weights, **where)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            if where.get("local_files_only"):
                raise AutointerpError(
                    f"the model {description.name!r} is not wholly on this machine, and the hub does not answer: "
                    f"{_first_line(error)}",
                    "fetch it where there is a network, and copy the cache",
                    retryable=True,
                ) from error
            raise AutointerpError(
                f"the model {description.name!r} cannot be loaded: {_first_line(error)}",
                "check that its files are complete, or fetch it again",
            ) from error
        except Exception as error:  # safetensors raises a bare class of its own
            if type(error).__name__ != "SafetensorError":
                raise
            raise AutointerpError(
                f"the weights of {description.name!r} are damaged: {_first_line(error)}", "fetch the model again"
            ) from error
        pipeline = pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    if device == "cpu" and getattr(pipeline, "vae", None) is not None:
        pipeline.vae.to(memory_format=torch.channels_last)
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.eval().requires_grad_(False)
    return Model(description, pipeline, device, compute)


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
            return torch.float16
        return torch.bfloat16 if half == "bfloat16" and torch.cuda.is_bf16_supported() else torch.float16
    if dtype not in DTYPES:
        raise UsageError(f"there is no dtype {dtype!r}", nearest(dtype, ["auto", *sorted(set(DTYPES.values()))]))
    if device == "cpu" and DTYPES[dtype] == "float16":
        raise UsageError("float16 is not for a processor", "use bfloat16 or float32")
    return getattr(torch, DTYPES[dtype])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on any device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


@contextmanager
def out_of_memory(name: str) -> Iterator[None]:
    """Turn running out of memory into one line with what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise AutointerpError(
            f"not enough memory for {name}", "use smaller batches, a smaller --size, or --dtype bfloat16"
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _hush() -> None:
    """Silence bars and advice of the libraries below: stderr belongs to our own progress."""
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    for logging in (transformers_logging, diffusers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
