"""Another tool's files at one place: their configurations, and the one dictionary among their tensors.

Formats are told apart by what is found here, never by the names of files. Where several dictionaries lie in one place,
none is taken before the user names one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from autointerp.dictionaries.formats.configuration import LARGEST, NAMES, read_json
from autointerp.dictionaries.formats.opening import AGAIN, Headed, open_weights
from autointerp.dictionaries.formats.orbax import is_orbax, open_orbax
from autointerp.dictionaries.formats.places import files_of, folders_below, listed, natural, several_folders
from autointerp.dictionaries.formats.tensors import TOP, Tensors, matching, only_tensors, parts_of
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.files import expanded, sha256_of

__all__ = ["AGAIN", "Source", "Tensors"]


class Source:
    """What lies at a path: one folder with the files of one dictionary, or one of its files.

    Args:
        path: The folder or file.
        part: The part of a file that is meant, where a file holds several dictionaries; empty where it holds one.

    Raises:
        AutointerpError: There is nothing there, or nothing that could be a dictionary.
        UsageError: The folder holds several.
    """

    def __init__(self, path: Path, part: str = "") -> None:
        path = expanded(path)
        if not path.exists():
            raise AutointerpError(f"there is no file or folder {path}", "check the path")
        self.asked, self.part = path, part
        if is_orbax(path):
            self._place(path, [path], "")
        else:
            self._place(*((path.parent, [path], "") if path.is_file() else files_of(path)))

    def _place(self, folder: Path, files: list[Path], note: str) -> None:
        self.folder, self.files, self._moved = folder, files, note
        self.problems: dict[Path, AutointerpError] = {}
        """Files that could not be opened, and why; told where nothing else is found."""
        self._opened: dict[Path, Any] = {}
        self._used: set[Path] = set()
        self._notes: dict[str, None] = {}
        self._broken: dict[Path, AutointerpError] = {}
        self._seen: dict[str, None] = {}

    def enter_below(self) -> bool:
        """Go on with the one folder below that may hold a dictionary; return whether there is one.

        Raises:
            UsageError: There are several.
        """
        below = folders_below(self.folder) if not self.asked.is_file() and self.folder == self.asked else []
        if len(below) > 1:
            raise several_folders(self.asked, below)
        if below:
            passed = listed(path.name for path in self.files)
            self._place(*files_of(below[0]))
            self._moved = f"{passed}: no dictionary; the one in {below[0].name} is taken"
            for cached in ("configs", "yaml"):
                self.__dict__.pop(cached, None)
        return bool(below)

    def start_reading(self) -> None:
        """Forget what was used and noted while the format was looked for."""
        self._used.clear()
        self._notes.clear()

    @property
    def notes(self) -> list[str]:
        """What was passed over or undone to reach the tensors and configurations that were read."""
        problems = [
            f"{path.name} is left alone, as it cannot be opened" for path in self.problems if path not in self._used
        ]
        broken = [f"{path.name} is left alone, as it cannot be read" for path in self._broken]
        return [*([self._moved] if self._moved else []), *self._notes, *problems, *broken]

    @cached_property
    def configs(self) -> dict[Path, dict[str, Any]]:
        """Every JSON object beside the weights, those named as a configuration first, those one folder up last.

        Raises:
            AutointerpError: A file that is a configuration by its name does not parse, or holds no object.
        """
        self._broken.clear()
        found: dict[Path, dict[str, Any]] = {}
        for place in self._config_places:
            must_parse = place == self.folder or self._has_no_json
            for path in sorted(place.glob("*.json"), key=lambda path: (path.name not in NAMES, path.name)):
                content = self._read_config(path, must_parse and path.name in NAMES)
                if isinstance(content, dict):
                    found[path] = content
        return found

    @property
    def _config_places(self) -> list[Path]:
        return [self.folder, *([self.folder.parent] if self.asked.is_file() or self._has_no_json else [])]

    def _read_config(self, path: Path, is_needed: bool) -> Any:
        try:
            if path.stat().st_size > LARGEST:
                raise AutointerpError(f"{path} is too large for a configuration", AGAIN)
            content = read_json(path)
            if is_needed and not isinstance(content, dict):
                raise AutointerpError(f"{path} holds no JSON object, so no configuration", AGAIN)
        except (AutointerpError, OSError) as error:
            problem = error if isinstance(error, AutointerpError) else AutointerpError(f"cannot read {path}", AGAIN)
            if is_needed:
                raise problem from None
            self._broken[path] = problem
            return None
        return content

    @property
    def _has_no_json(self) -> bool:
        return not any(self.folder.glob("*.json"))

    def config(self, *keys: str) -> dict[str, Any] | None:
        """Return the first configuration that has all these keys."""
        for path, content in self.configs.items():
            if all(key in content for key in keys):
                self._used.add(path)
                return content
        return None

    def needed_config(self, *keys: str) -> dict[str, Any] | None:
        """Return the first configuration that has all these keys; None where every file beside was read.

        Raises:
            AutointerpError: None has them, and one that may have them cannot be read.
        """
        found = self.config(*keys)
        if found is None:
            self.raise_broken()
        return found

    def check_part(self) -> None:
        """Refuse a part that was named, where only others are there.

        Raises:
            UsageError: The hint lists those that could be dictionaries.
        """
        if self.part and self.part not in self._seen:
            raise UsageError(f"{self.asked} has no part {self.part!r}", nearest(self.part, self._seen))

    def raise_broken(self) -> None:
        """Raise for the first file beside that could be a configuration and cannot be read."""
        self.config()
        if self._broken:
            raise next(iter(self._broken.values()))

    @cached_property
    def yaml(self) -> dict[str, Any]:
        """The first YAML mapping beside the weights, or nothing.

        Raises:
            AutointerpError: A YAML file does not parse.
        """
        import yaml

        for path in sorted(self.folder.glob("*.y*ml")):
            if path.stat().st_size > LARGEST:
                continue
            try:
                content = yaml.safe_load(path.read_bytes())
            except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
                reason = str(error).splitlines()[0]
                raise AutointerpError(f"{path} cannot be read as YAML: {reason}", AGAIN) from None
            if isinstance(content, dict):
                self._used.add(path)
                return content
        return {}

    def opened(self) -> Iterator[tuple[Path, Any]]:
        """Yield (file, what it holds) of those that can be opened, each opened once."""
        for path in self.files:
            if path not in self._opened:
                self._opened[path] = None
                try:
                    self._opened[path] = open_orbax(path) if path.is_dir() else open_weights(path)
                except AutointerpError as error:
                    self.problems[path] = error
            if self._opened[path] is not None:
                yield path, self._opened[path]

    def tensors(self, *names: str) -> Tensors | None:
        """Return the one file, or part of one, that has all these tensors.

        Raises:
            UsageError: Several have them, and none or another part was named.
        """
        return self._only(
            group
            for path, content in self.opened()
            for part in parts_of(path, content)
            for group in matching(part, names)
        )

    def headed(self, *names: str) -> tuple[dict[str, Any], Tensors] | None:
        """Return a file with a line of JSON before its tensors, as saev writes it.

        Raises:
            UsageError: There are several.
        """
        files = {path: content for path, content in self.opened() if isinstance(content, Headed)}
        found = self._only(
            group
            for path, content in files.items()
            for group in matching(Tensors(path, only_tensors(content.content)), names)
        )
        return None if found is None else (files[found.path].header, found)

    def _only(self, groups: Iterable[Tensors]) -> Tensors | None:
        found = list(groups)
        if self.part:
            self._seen |= dict.fromkeys(group.part for group in found)
            found = [group for group in found if group.part == self.part]
        if len(found) > 1 and all(group.equals(found[0]) for group in found[1:]):
            found.sort(key=lambda group: (group.path.suffix != ".safetensors", group.part != TOP))
            same = listed(dict.fromkeys(self._named(group, found) for group in found[1:]))
            self._notes[f"{self._named(found[0], found)} is taken; {same} holds the same"] = None
        elif len(found) > 1:
            raise self._several(found)
        if not found:
            return None
        self._used.add(found[0].path)
        self._notes |= dict.fromkeys(found[0].notes)
        return found[0]

    def _several(self, found: list[Tensors]) -> UsageError:
        found = sorted(found, key=lambda group: (natural(group.path.name), natural(group.part)))
        names = [self._named(group, found) for group in found]
        where = "files" if all("#" not in name for name in names) else "parts"
        base = self.asked.parent if self.asked.is_file() else self.folder
        return UsageError(
            f"{self.asked} holds {len(found)} dictionaries: {listed(names)}",
            f"name one of its {where}, e.g. {base / names[-1]}",
        )

    def _named(self, group: Tensors, among: list[Tensors]) -> str:
        """Return what a part of a file is called: the file alone where it holds no other."""
        is_only = sum(other.path == group.path for other in among) == 1
        return group.path.name if is_only else f"{group.path.name}#{group.part}"

    def single(self, name: str) -> torch.Tensor | None:
        """Return the tensor in the file of this name, where that holds one tensor."""
        return next((tensor for path, tensor in self.singles().items() if path.name == name), None)

    def singles(self) -> dict[Path, torch.Tensor]:
        """Return the files that hold one tensor and nothing else."""
        return {path: content for path, content in self.opened() if isinstance(content, torch.Tensor)}

    def use(self, *paths: Path) -> None:
        """Count files among those that were read."""
        self._used.update(paths)

    def hashes(self) -> dict[str, str]:
        """Return file name -> SHA-256 of what was read; a part of a file is named with it."""
        weights = set(self.files)
        return {
            f"{path.name}#{self.part}" if self.part and path in weights else path.name: _digest(path)
            for path in sorted(self._used)
        }

    @property
    def parts(self) -> Iterator[str]:
        """Names of the path's folders, the nearest first."""
        path = self.folder.resolve()
        return iter((path.name, *(parent.name for parent in path.parents)))


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a folder's files."""
    if not path.is_dir():
        return sha256_of(path)
    inside = sorted(place for place in path.rglob("*") if place.is_file())
    listed_files = "\n".join(f"{place.relative_to(path).as_posix()} {sha256_of(place)}" for place in inside)
    return hashlib.sha256(listed_files.encode()).hexdigest()
