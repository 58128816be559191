"""Single-file checkpoints: what one holds, read from its list of tensors alone.

A `.safetensors` file begins with that list. A `.ckpt` file is a pickle, which could run code: it is opened only by
torch's reader of weights, and refused where it holds anything else.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from autointerp.errors import AutointerpError

SUFFIXES = (".safetensors", ".ckpt")
_AUTOENCODER = ("first_stage_model.", "vae.")
_DENOISER = "model.diffusion_model."
_LONGEST_HEADER = 100 * 2**20


def shapes_of(file: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of a checkpoint by name, as their shapes.

    Raises:
        AutointerpError: It is damaged, or a pickle of more than weights.
    """
    try:
        found = _safetensors(file) if file.suffix == ".safetensors" else _pickled(file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, EOFError) as error:
        raise AutointerpError(
            f"the checkpoint {file} cannot be read: {type(error).__name__}", "check that it is whole, or fetch it again"
        ) from error
    if not found:
        raise AutointerpError(f"the checkpoint {file} holds no weights", "name another file")
    return found


def holds_pipeline(shapes: Mapping[str, Any]) -> bool:
    """Whether a checkpoint holds more than the denoiser: its autoencoder, and mostly its text encoders too."""
    return any(name.startswith(_AUTOENCODER) for name in shapes)


def usual_config(file: Path) -> str:
    """The hub id of the pipeline that a checkpoint looks like one of, as diffusers judges it.

    Raises:
        AutointerpError: It looks like none that diffusers knows.
    """
    from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS, infer_diffusers_model_type

    shapes = shapes_of(file)
    try:
        kind = infer_diffusers_model_type({name: SimpleNamespace(shape=shape) for name, shape in shapes.items()})
    except Exception:  # noqa: BLE001 - it looks at more than shapes where it is in doubt
        kind = None
    # What it does not know it takes for the oldest kind.
    if kind is None or (kind == "v1" and not any(name.startswith(_DENOISER) for name in shapes)):
        raise AutointerpError(
            f"the checkpoint {file} looks like no model that diffusers knows",
            "set loading.config to a folder or hub id of a pipeline with the same configuration",
        )
    return str(DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"])


def _safetensors(file: Path) -> dict[str, tuple[int, ...]]:
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8).ljust(8, b"\xff"))
        if length > _LONGEST_HEADER:
            raise ValueError("no header")
        header = json.loads(opened.read(length))
    return {name: tuple(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"}


def _pickled(file: Path) -> dict[str, tuple[int, ...]]:
    import pickle
    import zipfile

    import torch

    try:
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise AutointerpError(
            f"the checkpoint {file} is no plain file of weights, and opening it could run code",
            "use its .safetensors version",
        ) from error
    while "state_dict" in found:
        found = found["state_dict"]
    return {name: tuple(tensor.shape) for name, tensor in found.items() if isinstance(tensor, torch.Tensor)}
