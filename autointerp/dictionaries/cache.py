"""Raw activations on disk, for fitting many dictionaries on the same images.

A layer has one folder. The folder holds safetensors files of some images each, and `manifest.json`, which says what the
activations are of. A file is written aside and moved into place, so every file there is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autointerp.dictionaries.rounds import Round
from autointerp.errors import AutointerpError, UsageError
from autointerp.files import replacing, whole_file

FORMAT = 1
_BYTES = 4
"""Bytes of a value: activations are kept in float32, so that a fit from the cache equals a fit without it."""


class ActivationCache:
    """The activations of one layer, in files of consecutive images.

    Args:
        folder: Folder of the layer; it is made when the first file is written.
        made_of: All that the activations depend on (model, hookpoint, signal, steps, prompts, ...), as JSON values.

    Raises:
        UsageError: The folder holds activations of something else.
        AutointerpError: Its manifest cannot be read.
    """

    def __init__(self, folder: Path, made_of: dict[str, Any]) -> None:
        self.folder, self.made_of = folder, made_of
        manifest = folder / "manifest.json"
        if not manifest.exists():
            return
        try:
            found = json.loads(manifest.read_text())
            known, written = found["format"], found["made_of"]
        except (OSError, ValueError, KeyError, TypeError):
            raise AutointerpError(f"cannot read {manifest}", "name another folder, or delete this one") from None
        if known != FORMAT:
            raise AutointerpError(f"{folder} was written by another autointerp", "name another folder")
        if written != made_of:
            differ = sorted(key for key in {*written, *made_of} if written.get(key) != made_of.get(key))
            raise UsageError(
                f"{folder} holds activations of something else ({', '.join(differ)} differ)", "name another folder"
            )

    def _file(self, start: int, stop: int) -> Path:
        return self.folder / f"images-{start:08}-{stop:08}.safetensors"

    def has(self, start: int, stop: int) -> bool:
        """Return whether the images `start` to `stop` (exclusive) are there, as one file."""
        return self._file(start, stop).is_file()

    def read(self, start: int, stop: int) -> Round:
        """Read the activations of the images `start` to `stop` (exclusive).

        Raises:
            AutointerpError: The file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self._file(start, stop)
        try:
            tensors = load_file(path)
            return Round(tensors["acts"], tensors["places"])
        except (OSError, SafetensorError, KeyError) as error:
            raise AutointerpError(f"{path} is damaged", "delete it: it is made again") from error

    def write(self, start: int, stop: int, given: Round) -> None:
        """Keep the activations of the images `start` to `stop` (exclusive).

        Raises:
            AutointerpError: The file cannot be written; no part of it is left behind.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        path = self._file(start, stop)
        with whole_file(path, hint="free some space, then run it again", durable=False) as partial:
            self.folder.mkdir(parents=True, exist_ok=True)
            manifest = self.folder / "manifest.json"
            if not manifest.exists():
                text = json.dumps({"format": FORMAT, "made_of": self.made_of}, indent=2)
                with replacing(manifest) as beside:
                    beside.write_text(text + "\n")
            tensors = {"acts": given.acts.float().cpu().contiguous(), "places": given.places.contiguous()}
            try:
                save_file(tensors, partial)
            except SafetensorError as error:
                # safetensors does not pass on the system's error.
                raise OSError(str(error)) from error


def estimate_bytes(activations: int, widths: Sequence[int]) -> int:
    """Return how many bytes on disk the activations of layers of these widths take."""
    return activations * (sum(widths) * _BYTES + 32 * len(widths))


def check_budget(folder: Path, needed: int, budget_gb: float | None) -> None:
    """Refuse, before any work, a cache that would not fit.

    Args:
        folder: Folder of the cache.
        needed: Bytes still to be written.
        budget_gb: The most that the cache may take, in GB (1e9 bytes); 90% of the free space if None.

    Raises:
        UsageError: It does not fit.
    """
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    allowed = 0.9 * free if budget_gb is None else min(budget_gb * 1e9, free)
    if needed > allowed:
        limit = f"{allowed / 1e9:.2f} GB " + ("are free" if budget_gb is None or free < budget_gb * 1e9 else "allowed")
        raise UsageError(
            f"the activations would take {needed / 1e9:.2f} GB in {folder}, but {limit}",
            "fit on fewer --images or layers, or raise --cache-budget",
        )
