"""Prompts from a data set: a hub repository, a local folder, or a table.

A data set is named `datasets:ID[@REVISION][:SPLIT[:COLUMN]]`, or by the path of a `.parquet`, `.csv` or `.tsv` file. A
table as text is read whole and checked; other rows are
streamed: only as many are read as images are wanted. Parts that the name leaves out are looked up and written down
(`spec`), so that a workspace always means the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from autointerp.diffusion.jobs import ImageJob
from autointerp.diffusion.sources.dataset_library import commit_of, content_of, open_splits, rows_of, split_of
from autointerp.diffusion.sources.hashes import content_hash
from autointerp.diffusion.sources.lines import TEXT_KEYS
from autointerp.diffusion.sources.prompt import Prompt, check_prompt, held_out_jobs, job_of
from autointerp.diffusion.sources.protocol import Found, counted
from autointerp.diffusion.sources.rows import PARQUET, ParquetRows, open_rows
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.files import expanded
from autointerp.sizes import Size
from autointerp.tables import SUFFIXES

DATASETS = "datasets:"
"""The beginning of a data set's name."""
TABLES = (PARQUET, *SUFFIXES)
"""Suffixes of files that are read as data sets."""
_LOOKED_AT, _LOOKED_AT_ELSEWHERE = 10_000, 100
"""Prompts that `found` reads at most, of a file on this machine and of any other data set."""


def is_data_set(spec: str, path: Path) -> bool:
    """Whether a spec, or the path that it means, names a data set."""
    return spec.startswith(DATASETS) or path.suffix.lower() in TABLES


class DatasetAddress(NamedTuple):
    """The address of a column of prompts.

    Attributes:
        name: A path, or a hub id.
        revision: The commit on the hub, or a hash of the files.
        split: The split.
        column: The column.
    """

    name: str
    revision: str
    split: str
    column: str


class DatasetPrompts:
    """A `PromptSource` of a data set's column. Rows without text do not count; the first row follows the last.

    Args:
        address: The column.
        rows: Opens the rows; they are read as far as images are wanted.
        total: The number of rows; None where it is not known.
        beside: The other columns of a file, which are not read.
    """

    count = None
    sizes: Mapping[Size, str] = {}

    def __init__(
        self,
        address: DatasetAddress,
        rows: Callable[[], Iterator[Mapping[str, Any]]],
        total: int | None = None,
        beside: Sequence[str] = (),
    ) -> None:
        self.address, self.rows, self.total, self.beside = address, rows, total, beside
        self._read: list[Prompt] = []

    @property
    def spec(self) -> str:
        """The whole name, with revision, split and column. A local data set has no revision."""
        at = "" if Path(self.address.name).exists() else f"@{self.address.revision}"
        return f"{DATASETS}{self.address.name}{at}:{self.address.split}:{self.address.column}"

    @cached_property
    def identity(self) -> str:
        """A hash of the commit or of the files' content, and of split and column."""
        name = "" if Path(self.address.name).exists() else self.address.name
        return content_hash(["datasets", name, *self.address[1:]])

    @cached_property
    def _stream(self) -> Iterator[Prompt]:
        """The prompts that have not been read."""
        return self._prompts()

    def _prompts(self) -> Iterator[Prompt]:
        """Iterate over the prompts of the rows."""
        for number, row in enumerate(rows_of(self.address.name, self.rows), 1):
            if self.address.column not in row:
                raise UsageError(
                    f"the data set {self.address.name} has no column {self.address.column!r}",
                    nearest(self.address.column, row),
                )
            value = row[self.address.column]
            if value is not None and not isinstance(value, str):
                raise AutointerpError(
                    f"{self.address.name}, row {number}: {self.address.column} holds a {type(value).__name__}, no text",
                    "name another column",
                )
            text = " ".join((value or "").split())
            check_prompt(text, f"{self.address.name}, row {number}")
            if text:
                yield Prompt(text)

    def _first(self, count: int) -> list[Prompt]:
        """Return the first `count` prompts, or all where there are fewer."""
        while len(self._read) < count and (prompt := next(self._stream, None)) is not None:
            self._read.append(prompt)
        if not self._read:
            raise AutointerpError(
                f"the column {self.address.column} of {self.address.name} holds no text", "name another"
            )
        return self._read[:count]

    def found(self) -> Found:
        """Count the prompts, all where they lie in a file on this machine; see `PromptSource`."""
        most = _LOOKED_AT_ELSEWHERE if self.total is None else _LOOKED_AT
        texts = [prompt.text for prompt in self._first(most)]
        shown = ", ".join(self.beside[:8]) + (", ..." if len(self.beside) > 8 else "")
        notes = (f"columns beside {self.address.column} are not read: {shown}",) if self.beside else ()
        if len(texts) < most:
            empty = "" if self.total is None or len(texts) == self.total else f" in {counted(self.total, 'row')}"
            return Found(counted(len(texts), "prompt") + empty, notes, texts)
        beyond = "more" if self.total is None else str(self.total - most)
        return Found(f"{most} prompts looked at, and {beyond} rows beyond", notes, texts)

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """Return images of the rows; see `PromptSource`."""
        prompts = self._first(stop)
        return [job_of(prompts, n, seed) for n in range(start, stop)]

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Return images of rows beyond the first `used`, where there are any; seeds differ in every case."""
        seen = {prompt.text for prompt in self._first(used)}
        stop = used
        while True:
            stop += count
            read = self._first(stop)
            tail = [prompt for prompt in read[used:] if prompt.text not in seen]
            if len(tail) >= count or len(read) < stop:
                return held_out_jobs(tail or read, count, seed)


def load_dataset_prompts(spec: str, folder: Path | None = None, local_files_only: bool = False) -> DatasetPrompts:
    """Load the prompts of a data set. At most one row is read, to find the columns.

    Args:
        spec: `datasets:ID[@REVISION][:SPLIT[:COLUMN]]`, where ID is a hub repository or a path; or a table's path.
        folder: The folder of relative paths; the current one if None.
        local_files_only: Whether the settings forbid requests to the hub.

    Raises:
        AutointerpError: The library is not installed, or the data set cannot be read.
        UsageError: There is no such split or column, or several could be meant.
    """
    named, *rest = spec.removeprefix(DATASETS).split(":")
    split, column = (*rest, "", "")[:2]
    path = (folder or Path()) / expanded(named)
    if len(rest) > 2 or not named:
        raise UsageError(f"{spec!r} names no data set", f"write {DATASETS}OWNER/NAME:SPLIT:COLUMN")
    if path.exists():
        named = str(path.absolute())
        revision = content_of(path)
    elif not spec.startswith(DATASETS) or path.suffix.lower() in TABLES or named.startswith(("/", ".", "~")):
        raise AutointerpError(f"there is no prompts file {named}", "check the path")
    else:
        named, _, revision = named.partition("@")
        if len(revision) != 40 or not (split and column):
            revision = commit_of(named, revision, local_files_only)

    rows = open_rows(path) if path.is_file() else None

    def streams() -> Any:
        return open_splits(named, revision, local_files_only) if rows is None else {"train": rows}

    if not split or not column:
        split, column = _found(rows_of(named, lambda: iter([streams()])), named, split, column)
    if rows is not None and rows.column_names.count(column) > 1:
        raise UsageError(f"{named} names the column {column!r} twice", "rename one of the two")

    def opened() -> Iterator[Any]:
        stream = split_of(streams(), named, split)
        return iter(stream.only(column) if isinstance(stream, ParquetRows) else stream)

    address = DatasetAddress(named, revision, split, column)
    if rows is None:
        return DatasetPrompts(address, opened)
    return DatasetPrompts(address, opened, len(rows), [name for name in rows.column_names if name and name != column])


def _found(opened: Iterator[Mapping[str, Any]], name: str, split: str, column: str) -> tuple[str, str]:
    """Find the split and the column where they are not named."""
    splits = next(opened)
    if not split:
        if len(splits) > 1 and "train" not in splits:
            raise UsageError(f"the data set {name} has several splits", f"name one: {', '.join(splits)}")
        split = "train" if "train" in splits else next(iter(splits))
    rows = split_of(splits, name, split)
    columns = list(rows.column_names or next(rows_of(name, lambda: iter(rows)), {}))
    if not column:
        fitting = [name for name in columns if str(name).strip().lower() in TEXT_KEYS]
        if len(fitting) != 1:
            what = (
                f"several columns that could be prompts ({', '.join(fitting)})" if fitting else "no column of prompts"
            )
            raise UsageError(
                f"the data set {name} has {what}; its columns: {', '.join(map(str, columns))}",
                f"name one in its first line, or so: {DATASETS}{name}:{split}:COLUMN",
            )
        column = fitting[0]
    elif column not in columns:
        raise UsageError(f"the data set {name} has no column {column!r}", nearest(column, columns))
    return split, column
