"""Single-file checkpoints: their content, judged by the list of tensors alone.

A `.safetensors` file begins with that list. A `.ckpt` file is a pickle, which could run code: it is opened only by
torch's reader of weights, and refused where it holds any other object.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from autointerp.errors import AutointerpError
from autointerp.filetypes import check_may_be_weights

SUFFIXES = (".safetensors", ".ckpt")
_AUTOENCODER = ("first_stage_model.", "vae.")
_DENOISER = "model.diffusion_model."
_LONGEST_HEADER = 100 * 2**20


def shapes_of(file: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes of a checkpoint's tensors, by name.

    Raises:
        AutointerpError: The file is damaged, is no file of weights, or is a pickle of more than weights.
    """
    check_may_be_weights(file)
    try:
        found = header_of(file) if file.suffix == ".safetensors" else _pickled(file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, EOFError) as error:
        raise AutointerpError(
            f"the checkpoint {file} cannot be read: {type(error).__name__}", "check that it is whole, or fetch it again"
        ) from error
    if not found:
        raise AutointerpError(f"the checkpoint {file} holds no weights", "name another file")
    return found


def holds_pipeline(shapes: Mapping[str, Any]) -> bool:
    """Whether a checkpoint holds more than the denoiser: the autoencoder, and mostly text encoders too."""
    return any(name.startswith(_AUTOENCODER) for name in shapes)


def usual_config(file: Path) -> str:
    """Return the hub id of the pipeline that a checkpoint belongs to, as diffusers judges it.

    Raises:
        AutointerpError: diffusers does not recognise the checkpoint.
    """
    from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS, infer_diffusers_model_type

    shapes = shapes_of(file)
    try:
        kind = infer_diffusers_model_type({name: SimpleNamespace(shape=shape) for name, shape in shapes.items()})
    except Exception:  # noqa: BLE001 - in doubt, diffusers reads more than the shapes that it is given
        kind = None
    # diffusers takes an unknown checkpoint for the oldest kind.
    if kind is None or (kind == "v1" and not any(name.startswith(_DENOISER) for name in shapes)):
        raise AutointerpError(
            f"the checkpoint {file} looks like no model that diffusers knows",
            "set loading.config to a folder or hub id of a pipeline with the same configuration",
        )
    return str(DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"])


def header_of(file: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes in the header of a safetensors file, by the tensor's name; its errors are as they come."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8).ljust(8, b"\xff"))
        if length > _LONGEST_HEADER:
            raise ValueError("no header")
        header = json.loads(opened.read(length))
    return {name: tuple(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"}


def _pickled(file: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes in a pickle of weights; memory-map it where the format allows."""
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
