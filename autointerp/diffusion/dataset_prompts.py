"""Prompts from a data set, through the library `datasets`: a hub repository, a local folder, or a table.

A data set is named `datasets:ID[@REVISION][:SPLIT[:COLUMN]]`, or by the path of a `.parquet` or `.csv` file. It is
streamed: only as many rows are read as images are wanted. What is not named is found out and written down (`spec`), so
that a workspace means the same rows for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from autointerp.diffusion.generation import ImageJob
from autointerp.diffusion.prompts import (
    DATASETS,
    TABLES,
    Prompt,
    check_prompt,
    content_hash,
    hash_file,
    held_out_jobs,
    job_of,
)
from autointerp.diffusion.sizes import Size
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.hub import DATA_SET, asking, first_line, refusal, why_not

COLUMNS = ("prompt", "text", "caption")
"""Columns that are taken where none is named."""


class Source(NamedTuple):
    """Where rows come from: a path, or a hub id with its commit; a split and a column."""

    name: str
    revision: str
    split: str
    column: str


class DatasetPrompts:
    """A `PromptSource` of a data set's column; rows without text do not count, and after the last comes the first."""

    count = None
    sizes: Mapping[Size, str] = {}

    def __init__(self, source: Source, rows: Callable[[], Iterator[Mapping[str, Any]]]) -> None:
        self.source = source
        self._rows = rows
        self._read: list[Prompt] = []

    @property
    def spec(self) -> str:
        """The whole name, with revision, split and column; the content of a local one needs no revision."""
        at = "" if Path(self.source.name).exists() else f"@{self.source.revision}"
        return f"{DATASETS}{self.source.name}{at}:{self.source.split}:{self.source.column}"

    @cached_property
    def identity(self) -> str:
        """A hash of what the rows are: their commit, or the files' content; and of split and column."""
        name = "" if Path(self.source.name).exists() else self.source.name
        return content_hash(["datasets", name, *self.source[1:]])

    @cached_property
    def _stream(self) -> Iterator[Prompt]:
        return self._prompts()

    def _prompts(self) -> Iterator[Prompt]:
        for number, row in enumerate(_reading(self.source.name, self._rows), 1):
            if self.source.column not in row:
                raise UsageError(
                    f"the data set {self.source.name} has no column {self.source.column!r}",
                    nearest(self.source.column, row),
                )
            value = row[self.source.column]
            if value is not None and not isinstance(value, str):
                raise AutointerpError(
                    f"{self.source.name}, row {number}: {self.source.column} holds a {type(value).__name__}, no text",
                    "name another column",
                )
            text = " ".join((value or "").split())
            check_prompt(text, f"{self.source.name}, row {number}")
            if text:
                yield Prompt(text)

    def _first(self, count: int) -> list[Prompt]:
        """The first prompts: `count`, or all where there are no more."""
        while len(self._read) < count and (prompt := next(self._stream, None)) is not None:
            self._read.append(prompt)
        if not self._read:
            raise AutointerpError(
                f"the column {self.source.column} of {self.source.name} holds no text", "name another"
            )
        return self._read[:count]

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """See `PromptSource`."""
        prompts = self._first(stop)
        return [job_of(prompts, n, seed) for n in range(start, stop)]

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Rows beyond the first `used`, where there are any; other seeds in every case."""
        seen = {prompt.text for prompt in self._first(used)}
        stop = used
        while True:
            stop += count
            read = self._first(stop)
            tail = [prompt for prompt in read[used:] if prompt.text not in seen]
            if len(tail) >= count or len(read) < stop:
                return held_out_jobs(tail or read, count, seed)


def load_dataset_prompts(spec: str, folder: Path | None = None, local_files_only: bool = False) -> DatasetPrompts:
    """The prompts of a data set; of its rows only as many as tell its columns are read.

    Args:
        spec: `datasets:ID[@REVISION][:SPLIT[:COLUMN]]`, where ID is a hub repository or a path; or a table's path.
        folder: What relative paths are relative to; the current one if None.
        local_files_only: Whether the settings forbid to ask the hub.

    Raises:
        AutointerpError: The library is not installed, or the data set cannot be read.
        UsageError: There is no such split or column, or several that could be meant.
    """
    named, *rest = spec.removeprefix(DATASETS).split(":")
    split, column = (*rest, "", "")[:2]
    path = (folder or Path()) / Path(named).expanduser()
    if len(rest) > 2 or not named:
        raise UsageError(f"{spec!r} names no data set", f"write {DATASETS}OWNER/NAME:SPLIT:COLUMN")
    if path.exists():
        named = str(path.absolute())
        revision = _content(path)
    elif not spec.startswith(DATASETS) or path.suffix.lower() in TABLES or named.startswith(("/", ".", "~")):
        raise AutointerpError(f"there is no prompts file {named}", "check the path")
    else:
        named, _, revision = named.partition("@")
        if len(revision) != 40 or not (split and column):
            revision = _commit(named, revision, local_files_only)

    def streams() -> Any:
        return _opened(named, revision, local_files_only)

    if not split or not column:
        split, column = _found(_reading(named, lambda: iter([streams()])), named, split, column)
    return DatasetPrompts(Source(named, revision, split, column), lambda: iter(_split(streams(), named, split)))


def _content(path: Path) -> str:
    """A hash of a file, or of the files of a folder, whatever it is called."""
    if path.is_file():
        return hash_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    kept = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    return content_hash([[file.relative_to(path).as_posix(), hash_file(file)] for file in kept])


def _library() -> Any:
    try:
        import datasets
    except ImportError:
        raise AutointerpError(
            "prompts from a data set need the library datasets", "install it: pip install 'autointerp[datasets]'"
        ) from None
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    return datasets


def _commit(name: str, revision: str, local_files_only: bool) -> str:
    """The commit of a data set of the hub.

    Raises:
        AutointerpError: There is no such data set, it is gated, or the hub may not be asked or does not answer.
    """
    from huggingface_hub import HfApi

    _check_hub(name, local_files_only)
    with asking(name, DATA_SET, revision=revision):
        return str(HfApi().dataset_info(name, revision=revision or None).sha)


def _check_hub(name: str, local_files_only: bool) -> None:
    """Raise `AutointerpError` where the hub may not be asked, or there is no way to it."""
    if (reason := why_not(local_files_only)) is not None:
        raise AutointerpError(
            f"the data set {name!r} is no path, and {reason}",
            "check the name, or use a prompts file where there is no network",
            retryable=True,
        )


def _opened(name: str, revision: str, local_files_only: bool) -> Mapping[str, Any]:
    """The splits of a data set, streamed."""
    library, path = _library(), Path(name)
    if path.is_file():
        kind = path.suffix.lower().removeprefix(".")
        loaded = library.load_dataset(kind, data_files=str(path), streaming=True)
    elif path.is_dir():
        loaded = library.load_dataset(str(path), streaming=True)
    else:
        _check_hub(name, local_files_only)
        loaded = library.load_dataset(name, revision=revision, streaming=True)
    splits: Mapping[str, Any] = loaded
    return splits


def _reading(name: str, rows: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """What an iterator gives, and one line for whatever the library raises on the way."""
    try:
        yield from rows()
    except AutointerpError:
        raise
    except Exception as error:  # noqa: BLE001 - files and hubs fail in as many ways as the library has formats
        known = refusal(error, name, DATA_SET)
        raise known or AutointerpError(
            f"the data set {name} cannot be read: {first_line(error)}", "check its files, and its name on the hub"
        ) from None


def _split(splits: Mapping[str, Any], name: str, split: str) -> Any:
    if split not in splits:
        raise UsageError(f"the data set {name} has no split {split!r}", nearest(split, splits))
    return splits[split]


def _found(opened: Iterator[Mapping[str, Any]], name: str, split: str, column: str) -> tuple[str, str]:
    """The split and column that are meant where they are not named."""
    splits = next(opened)
    if not split:
        if len(splits) > 1 and "train" not in splits:
            raise UsageError(f"the data set {name} has several splits", f"name one: {', '.join(splits)}")
        split = "train" if "train" in splits else next(iter(splits))
    rows = _split(splits, name, split)
    columns = list(rows.column_names or next(_reading(name, lambda: iter(rows)), {}))
    if not column:
        fitting = [known for known in COLUMNS if known in columns]
        if len(fitting) != 1:
            what = (
                f"several columns that could be prompts ({', '.join(fitting)})" if fitting else "no column of prompts"
            )
            raise UsageError(
                f"the data set {name} has {what}; its columns: {', '.join(map(str, columns))}",
                f"name one: {DATASETS}{name}:{split}:COLUMN",
            )
        column = fitting[0]
    elif column not in columns:
        raise UsageError(f"the data set {name} has no column {column!r}", nearest(column, columns))
    return split, column
