"""Orbax checkpoints, which are folders: their arrays as tensors, through the public reader (extra `orbax`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

    Arrays are read as NumPy's: otherwise the reader wants the devices that the checkpoint was saved from.

    Raises:
        AutointerpError: The reader is not installed, or the checkpoint cannot be read.
    """
    try:
        from orbax.checkpoint import PyTreeCheckpointer, RestoreArgs
    except ImportError:
        raise AutointerpError(
            f"{folder} is an Orbax checkpoint, whose reader is not installed", "pip install 'autointerp[orbax]'"
        ) from None
    try:
        reader, path = PyTreeCheckpointer(), folder.absolute()
        as_numpy = _mapped(reader.metadata(path).item_metadata.tree, lambda _leaf: RestoreArgs(restore_type=np.ndarray))
        return as_tensors(reader.restore(path, restore_args=as_numpy))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise AutointerpError(f"{folder} cannot be read by Orbax: {reason}", "fetch it again") from None


def as_tensors(tree: Any) -> Any:
    """Return a tree of arrays with tensors in their place; numbers and texts stay as they are."""
    return _mapped(tree, _tensor)


def _tensor(leaf: Any) -> Any:
    if not hasattr(leaf, "__array__"):
        return leaf
    array = np.asarray(leaf)
    # Torch knows no bfloat16 of NumPy, whose dtype is one of an extension.
    return torch.from_numpy(np.array(array, np.float32 if array.dtype.kind in "fV" else array.dtype))


def _mapped(tree: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return a tree of the same shape; what is None stays, as an empty node of Orbax."""
    if isinstance(tree, Mapping):
        return {str(name): _mapped(value, leaf) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_mapped(value, leaf) for value in tree]
    return None if tree is None else leaf(tree)
