"""Which files of a folder may be a dictionary, by their names: weights, and the state of a training beside them.

This module loads no torch, because the files of a repository are chosen by it before anything is fetched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from autointerp.errors import AutointerpError, UsageError
from autointerp.filetypes import foreign_type

WEIGHTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
"""Endings of files that may hold tensors."""
_TRAINING = re.compile(
    r"^(optim(izer)?|opt|(lr_?)?scheduler|(trainer_|training_|train_)?state|grad_?scaler|scaler|rng_state|random_states"
    r"|activations_store_state|log_feature_sparsity|sparsity|training_args)([_.-]?\d+)?$"
)
"""Names, without ending, that tools give to the state of a training."""
_NUMBERED = re.compile(r"^(.*?)(\d+)([^\d]*)$")
_DEPTH = 4
"""How far below a folder its one dictionary may lie."""
_LISTED = 8
"""The most names that a message lists."""


def is_training_state(name: str) -> bool:
    """Return whether a file is named as tools name an optimizer, a scheduler or the like.

    >>> [is_training_state(name) for name in ("optimizer.pt", "lr_scheduler.pt", "state_dict.pth", "ae.pt")]
    [True, True, False, False]
    """
    return bool(_TRAINING.match(PurePath(name).stem.lower()))


def dictionary_files(names: Iterable[str]) -> list[str]:
    """Return the names that may be a dictionary's weights, in their natural order.

    Those of a training's state are left out, unless there are no others.

    >>> dictionary_files(["optimizer.pt", "ae_1000.pt", "ae_200.pt", "notes.txt"])
    ['ae_200.pt', 'ae_1000.pt']
    """
    weights = sorted((name for name in names if name.endswith(WEIGHTS)), key=natural)
    return [name for name in weights if not is_training_state(name)] or weights


def checkpoints(names: Iterable[str]) -> list[str]:
    """Return the names that differ in one number alone, as checkpoints of a training do; empty for one of a name.

    >>> checkpoints(["ae_1000.pt", "ae_0.pt", "mean.pt"])
    ['ae_0.pt', 'ae_1000.pt']
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for name in names:
        if (found := _NUMBERED.match(name)) and "-of-" not in name:
            groups.setdefault((found[1], found[3]), []).append(name)
    return next((sorted(group, key=natural) for group in groups.values() if len(group) > 1), [])


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts numbers in names by their value.

    >>> sorted(["ae_1000", "ae_200"], key=natural)
    ['ae_200', 'ae_1000']
    """
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def listed(names: Iterable[object]) -> str:
    """Return names for a message, the first few of many."""
    all_names = [str(name) for name in names]
    return ", ".join(all_names[:_LISTED]) + (", ..." if len(all_names) > _LISTED else "")


def weights_in(folder: Path) -> list[Path]:
    """Return the files of a folder that may be a dictionary's weights; see `dictionary_files`."""
    return [folder / name for name in dictionary_files(path.name for path in folder.iterdir() if _is_weights(path))]


def holds_dictionary(files: Iterable[Path]) -> bool:
    """Return whether files have more than the names of a training's state."""
    return any(not is_training_state(path.name) for path in files)


def folders_below(folder: Path) -> list[Path]:
    """Return the folders below one that may hold a dictionary, hidden ones left out."""
    return sorted((place for place in _walk(folder, _DEPTH) if holds_dictionary(weights_in(place))), key=_order)


def files_of(folder: Path) -> tuple[Path, list[Path], str]:
    """Find the folder that holds the weights, which may lie below the one named.

    Returns:
        The folder, its files of weights, and a note where files of the named folder were passed over.

    Raises:
        AutointerpError: There are no weights.
        UsageError: There are several dictionaries.
    """
    here = weights_in(folder)
    if holds_dictionary(here):
        near = sorted(place.name for place in _walk(folder, 1) if holds_dictionary(weights_in(place)))
        return folder, here, f"the weights below, in {listed(near)}, are left out" if near else ""
    below = folders_below(folder)
    if not below and here:
        return folder, here, ""
    if not below:
        raise no_weights(folder)
    if len(below) > 1:
        raise several_folders(folder, below)
    training = listed(path.name for path in here)
    note = f"{training}: the state of a training; the dictionary in {below[0].name} is taken" if here else ""
    return below[0], weights_in(below[0]), note


def several_folders(folder: Path, below: list[Path]) -> UsageError:
    """Return the error for a folder with several dictionaries, by their folders."""
    names = listed(place.relative_to(folder) for place in below)
    return UsageError(f"{folder} holds {len(below)} dictionaries", f"name one of its folders: {names}")


def no_weights(folder: Path) -> AutointerpError:
    """Return the error for a folder without weights; it names a broken link or a file of another kind, if any."""
    ends = f"a dictionary has a file that ends in {', '.join(WEIGHTS)}"
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not path.exists():
            return AutointerpError(f"{path} is a link to a file that is not there", "copy or fetch what it links to")
        if path.is_file() and path.suffix != ".json" and (found := foreign_type(path)) is not None:
            return AutointerpError(f"{folder} holds no weights: {path.name} is {found.name}", f"{found.hint}; {ends}")
    return AutointerpError(f"{folder} holds no weights", ends)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folders below one, to a depth; those that cannot be read are left out."""
    try:
        inside = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return
    for place in inside:
        if os.access(place, os.R_OK | os.X_OK):
            yield place
            if depth > 1:
                yield from _walk(place, depth - 1)


def _order(place: Path) -> list[list[tuple[int, int, str]]]:
    return [natural(part) for part in place.parts]


def _is_weights(path: Path) -> bool:
    return path.suffix in WEIGHTS and not path.name.startswith(".") and path.is_file()
