"""Data sets opened by the library `datasets`: from the hub, a folder or a table, with errors of one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from autointerp.diffusion.sources.hashes import content_hash, hash_file
from autointerp.diffusion.sources.rows import TableRows
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.hub import DATA_SET, asking, first_line, refusal, why_not
from autointerp.tables import SUFFIXES as TABLES


def commit_of(name: str, revision: str, local_files_only: bool) -> str:
    """Look up the commit of a data set on the hub.

    Raises:
        AutointerpError: There is no such data set, it is gated, or the hub may not be asked or does not answer.
    """
    from huggingface_hub import HfApi

    check_hub(name, local_files_only)
    with asking(name, DATA_SET, revision=revision):
        return str(HfApi().dataset_info(name, revision=revision or None).sha)


def check_hub(name: str, local_files_only: bool) -> None:
    """Raise `AutointerpError` where the hub may not be asked or cannot be reached."""
    if (reason := why_not(local_files_only)) is not None:
        raise AutointerpError(
            f"the data set {name!r} is no path, and {reason}",
            "check the name, or use a prompts file where there is no network",
            retryable=True,
        )


def content_of(path: Path) -> str:
    """Return a hash of a file, or of the files of a folder, which does not depend on its name."""
    if path.is_file():
        return hash_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    kept = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    return content_hash([[file.relative_to(path).as_posix(), hash_file(file)] for file in kept])


def open_splits(name: str, revision: str, local_files_only: bool) -> Mapping[str, Any]:
    """Open the splits of a data set as streams.

    Raises:
        AutointerpError: A table has a row of another width than its first line.
    """
    path = Path(name)
    library = _library()
    if path.is_file():
        kind = path.suffix.lower().removeprefix(".")
        loaded = library.load_dataset(kind, data_files=str(path), streaming=True)
    elif path.is_dir():
        for table in sorted(found for ending in TABLES for found in path.rglob(f"*{ending}")):
            # The library would shift or drop the cells of a row that is too long.
            TableRows(table)
        loaded = library.load_dataset(str(path), streaming=True)
    else:
        check_hub(name, local_files_only)
        loaded = library.load_dataset(name, revision=revision, streaming=True)
    splits: Mapping[str, Any] = loaded
    return splits


def rows_of(name: str, rows: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Iterate over rows, and turn any exception of the library into an error of one line."""
    try:
        yield from rows()
    except AutointerpError:
        raise
    except Exception as error:  # noqa: BLE001 - each format of the library fails in ways of its own
        known = refusal(error, name, DATA_SET)
        raise known or AutointerpError(
            f"the data set {name} cannot be read: {first_line(error)}", "check its files, and its name on the hub"
        ) from None


def split_of(splits: Mapping[str, Any], name: str, split: str) -> Any:
    """Return a split by name.

    Raises:
        UsageError: There is no such split.
    """
    if split not in splits:
        raise UsageError(f"the data set {name} has no split {split!r}", nearest(split, splits))
    return splits[split]


def _library() -> Any:
    """Import the library `datasets`, and silence it."""
    try:
        import datasets
    except ImportError:
        raise AutointerpError(
            "prompts from a data set need the library datasets", "install it: pip install 'autointerp[datasets]'"
        ) from None
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    return datasets
