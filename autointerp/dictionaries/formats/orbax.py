"""Orbax checkpoints, which are folders: their arrays as tensors, through the public reader (extra `orbax`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autointerp.errors import AutointerpError

_MARKS = ("_METADATA", "manifest.ocdbt")
"""Files that a folder of arrays has, one or both, by the version of Orbax."""


def is_orbax(folder: Path) -> bool:
    """Return whether a folder is an Orbax checkpoint of arrays."""
    return folder.is_dir() and any((folder / name).is_file() for name in _MARKS)


def open_orbax(folder: Path) -> Any:
    """Return the arrays of a checkpoint as nested mappings of tensors.

    Raises:
        AutointerpError: The reader is not installed, or the checkpoint cannot be read.
    """
    try:
        from orbax.checkpoint import PyTreeCheckpointer
    except ImportError:
        raise AutointerpError(
            f"{folder} is an Orbax checkpoint, whose reader is not installed", "pip install 'autointerp[orbax]'"
        ) from None
    try:
        return as_tensors(PyTreeCheckpointer().restore(folder.absolute()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise AutointerpError(f"{folder} cannot be read by Orbax: {reason}", "fetch it again") from None


def as_tensors(tree: Any) -> Any:
    """Return a tree of arrays with tensors in their place; numbers and texts stay as they are."""
    if isinstance(tree, Mapping):
        return {str(name): as_tensors(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [as_tensors(value) for value in tree]
    if hasattr(tree, "__array__"):
        array = np.asarray(tree)
        # Torch knows no bfloat16 of NumPy, whose dtype is one of an extension.
        return torch.from_numpy(np.array(array, np.float32 if array.dtype.kind in "fV" else array.dtype))
    return tree
