"""Opening files of weights safely: by what they are, never by their names, and never running what they hold."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from autointerp.errors import AutointerpError
from autointerp.filetypes import check_may_be_weights

AGAIN = "copy or fetch it again"
_HEADER_BYTES = 16 << 20
"""A longer first line is no header."""


@dataclass(frozen=True)
class Headed:
    """Tensors behind a line of JSON."""

    header: dict[str, Any]
    content: Any


def open_weights(path: Path) -> Any:
    """Return what a file of weights holds: a mapping, a list, a tensor, or `Headed`.

    Tensors are mapped from the file where its layout allows, so that a large file that is not used costs no memory.

    Raises:
        AutointerpError: It is cut short, is no such file, or holds an object whose loading could run code.
    """
    check_may_be_weights(path)
    try:
        with path.open("rb") as file:
            start = file.peek(9)[:9]
            if start[8:9] == b"{":
                return _open_safetensors(path)
            if path.suffix == ".safetensors" and start[:2] != b"PK":
                return _open_safetensors(path)
            header = json.loads(file.readline(_HEADER_BYTES)) if start[:1] == b"{" else None
            content = _open_torch(path, file if header is None else io.BytesIO(file.read()))
    except (OSError, ValueError, RecursionError) as error:
        raise AutointerpError(f"cannot read {path}: {error}", AGAIN) from None
    return content if header is None else Headed(header, content)


def _open_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise AutointerpError(f"{path} is cut short or no safetensors file: {error}", AGAIN) from None


def _open_torch(path: Path, file: IO[bytes]) -> Any:
    start = file.read(2)
    file.seek(0)
    # A path that ends in .safetensors would be read as such by torch too.
    is_mapped = not isinstance(file, io.BytesIO) and path.suffix != ".safetensors" and zipfile.is_zipfile(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if is_mapped:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if start in (b"PK", *(b"\x80" + bytes([n]) for n in range(2, 6))) and "unsupported" in str(error).lower():
            raise AutointerpError(
                f"{path} is a pickled Python object, which could run code: it is not opened",
                "save the tensors alone where it was made: torch.save(model.state_dict(), 'weights.pt')",
            ) from None
        raise AutointerpError(f"{path} is cut short or no file of torch", AGAIN) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
        first = str(error).strip().splitlines()
        reason = f": {first[0][:120]}" if first and not first[0].isdecimal() else ""
        raise AutointerpError(f"{path} is cut short or no file of torch{reason}", AGAIN) from None
