"""Another tool's files, opened safely and each once: JSON, safetensors, and torch files that hold nothing but tensors.

What can run code on loading is refused. Formats are told apart by what is found here, never by the names of files.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import torch

from autointerp.errors import AutointerpError, UsageError

WEIGHTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
"""Endings of files that may hold tensors."""
AGAIN = "copy or fetch it again"
_DEPTH = 4
"""How far below a folder its one dictionary may lie."""
_CONFIG_BYTES = 16 << 20
"""A larger JSON or YAML file is no configuration."""


@dataclass(frozen=True)
class Tensors:
    """The tensors of one file by name; `inside` is the key they were wrapped in, `beside` what stood next to them."""

    path: Path
    found: Mapping[str, torch.Tensor]
    inside: str = ""
    beside: Mapping[str, Any] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        return name in self.found

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor.

        Raises:
            AutointerpError: There is none of this name.
        """
        if name not in self.found:
            listed = ", ".join(list(self.found)[:8]) or "nothing"
            raise AutointerpError(f"{self.path} lacks the tensor {name}", f"it holds {listed}; {AGAIN}")
        return tuple(self.found[name].shape)

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """A tensor as float32, checked.

        Raises:
            AutointerpError: It is missing, has another shape, or holds values that are not finite.
        """
        if self.shape(name) != shape:
            raise AutointerpError(
                f"{self.path}: {name} is {list(self.shape(name))}, but the others ask for {list(shape)}", AGAIN
            )
        tensor = self.found[name].detach().float()
        if not bool(torch.isfinite(tensor).all()):
            raise AutointerpError(f"{self.path}: {name} holds values that are not finite", AGAIN)
        return tensor.contiguous()

    def matrix(self, name: str) -> tuple[int, int]:
        """The shape of a tensor that must be a matrix with something in it."""
        shape = self.shape(name)
        if len(shape) != 2 or 0 in shape:
            raise AutointerpError(f"{self.path}: {name} is {list(shape)}, no matrix", AGAIN)
        return shape[0], shape[1]

    def number(self, name: str) -> float:
        """A tensor of one element."""
        if self.found[name].numel() != 1:
            raise AutointerpError(f"{self.path}: {name} is {list(self.shape(name))}, not one number", AGAIN)
        return float(self.take(name, *self.shape(name)))


class Source:
    """What lies at a path: one folder with the files of one dictionary, or one of its files.

    Raises:
        AutointerpError: There is nothing there, or nothing that could be a dictionary.
        UsageError: The folder holds several.
    """

    def __init__(self, path: Path) -> None:
        path = Path(path).expanduser()
        if not path.exists():
            raise AutointerpError(f"there is no file or folder {path}", "check the path")
        self.asked = path
        self.folder, self.files = (path.parent, [path]) if path.is_file() else _files_of(path)
        self.problems: list[AutointerpError] = []
        """Why files could not be opened; told where nothing else is found."""
        self._opened: dict[Path, Any] = {}
        self._used: set[Path] = set()

    @cached_property
    def configs(self) -> dict[Path, dict[str, Any]]:
        """Every JSON object beside the weights; those one folder up come last, for checkpoints of a run."""
        places = [self.folder, *([self.folder.parent] if self.asked.is_file() or self._no_json else [])]
        return {path: content for place in places for path in sorted(place.glob("*.json")) if (content := _json(path))}

    @property
    def _no_json(self) -> bool:
        return not any(self.folder.glob("*.json"))

    def config(self, *keys: str) -> dict[str, Any] | None:
        """The first configuration that has all these keys."""
        for path, content in self.configs.items():
            if all(key in content for key in keys):
                self._used.add(path)
                return content
        return None

    @cached_property
    def yaml(self) -> dict[str, Any]:
        """The first YAML mapping beside the weights, or nothing."""
        import yaml

        for path in sorted(self.folder.glob("*.y*ml")):
            if path.stat().st_size > _CONFIG_BYTES:
                continue
            try:
                content = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, OSError, UnicodeDecodeError):
                continue
            if isinstance(content, dict):
                self._used.add(path)
                return content
        return {}

    def opened(self) -> Iterator[tuple[Path, Any]]:
        """(file, what it holds) of those that can be opened, each opened once and not before it is asked for."""
        for path in self.files:
            if path not in self._opened:
                self._opened[path] = None
                try:
                    self._opened[path] = open_weights(path)
                except AutointerpError as error:
                    self.problems.append(error)
            if self._opened[path] is not None:
                yield path, self._opened[path]

    def tensors(self, *names: str) -> Tensors | None:
        """The first file, or part of one, that has all these tensors."""
        for path, content in self.opened():
            for tensors in _parts(path, content):
                if all(name in tensors for name in names):
                    self._used.add(path)
                    return tensors
        return None

    def single(self, name: str) -> torch.Tensor | None:
        """The tensor in the file of this name, where that holds one tensor."""
        return next((tensor for path, tensor in self.singles().items() if path.name == name), None)

    def singles(self) -> dict[Path, torch.Tensor]:
        """Files that hold one tensor and nothing else."""
        return {path: content for path, content in self.opened() if isinstance(content, torch.Tensor)}

    def headed(self) -> tuple[dict[str, Any], Tensors] | None:
        """A file with a line of JSON before its tensors, as saev writes it."""
        for path, content in self.opened():
            if isinstance(content, Headed):
                self._used.add(path)
                return content.header, Tensors(path, _only_tensors(content.content))
        return None

    def use(self, *paths: Path) -> None:
        """Count files among those that were read."""
        self._used.update(paths)

    def hashes(self) -> dict[str, str]:
        """File name -> SHA-256 of what was read."""
        return {path.name: _sha256(path) for path in sorted(self._used)}

    @property
    def parts(self) -> Iterator[str]:
        """Names of the path's folders, the nearest first."""
        path = self.folder.resolve()
        return iter((path.name, *(parent.name for parent in path.parents)))


@dataclass(frozen=True)
class Headed:
    """Tensors behind a line of JSON."""

    header: dict[str, Any]
    content: Any


def open_weights(path: Path) -> Any:
    """What a weights file holds: a mapping, a tensor, or `Headed`.

    Raises:
        AutointerpError: It is cut short, is no such file, or holds an object whose loading could run code.
    """
    if path.suffix == ".safetensors":
        return _open_safetensors(path)
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline(_CONFIG_BYTES)) if file.peek(1)[:1] == b"{" else None
            content = _open_torch(path, file if header is None else io.BytesIO(file.read()))
    except (OSError, ValueError) as error:
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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
        reason = f": {first[0][:120]}" if first else ""
        raise AutointerpError(f"{path} is cut short or no file of torch{reason}", AGAIN) from None


def _parts(path: Path, content: Any) -> Iterator[Tensors]:
    """The tensors of a file: at its top, then in each mapping it wraps."""
    if not isinstance(content, Mapping):
        return
    top = _only_tensors(content)
    if top:
        yield Tensors(path, top)
    for name, value in content.items():
        if isinstance(value, Mapping) and (inner := _only_tensors(value)):
            beside = {k: v for k, v in content.items() if k != name and isinstance(v, str | int | float | Mapping)}
            yield Tensors(path, inner, str(name), beside)


def _only_tensors(content: Any) -> dict[str, torch.Tensor]:
    if not isinstance(content, Mapping):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _files_of(folder: Path) -> tuple[Path, list[Path]]:
    """The folder that holds the weights, which may lie below the one named, and its weights files."""
    here = _weights_in(folder)
    if here:
        return folder, here
    below = sorted({file.parent for file in folder.rglob("*") if _is_weights(file) and _near(file, folder)})
    if not below:
        raise AutointerpError(
            f"{folder} holds no weights", f"a dictionary has a file that ends in {', '.join(WEIGHTS)}"
        )
    if len(below) > 1:
        names = ", ".join(str(place.relative_to(folder)) for place in below[:8]) + (", ..." if len(below) > 8 else "")
        raise UsageError(f"{folder} holds {len(below)} dictionaries", f"name one of its folders: {names}")
    return below[0], _weights_in(below[0])


def _weights_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_weights(path))


def _is_weights(path: Path) -> bool:
    return path.suffix in WEIGHTS and not path.name.startswith(".") and path.is_file()


def _near(file: Path, folder: Path) -> bool:
    return len(file.relative_to(folder).parts) <= _DEPTH + 1


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, or nothing where the file holds none."""
    try:
        if path.stat().st_size > _CONFIG_BYTES:
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return {}
    return content if isinstance(content, dict) else {}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
