"""Prompts by the name that a setting gives: a world's captions, a shipped set, a file, or a data set."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from autointerp.diffusion.sources.datasets import is_data_set, load_dataset_prompts
from autointerp.diffusion.sources.lines import parse_prompts
from autointerp.diffusion.sources.prompt import Prompt
from autointerp.diffusion.sources.prompt_files import FilePrompts, read_prompts_file
from autointerp.diffusion.sources.protocol import PromptSource
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.files import expanded
from autointerp.registry import Kind, Registry

AUTO = "auto"
"""The prompts that suit the model's world."""
CAPTIONS: Registry[Kind[Callable[[], PromptSource]]] = Registry(
    "world of captions", [Kind("shapes", "captions of random scenes", "autointerp.shapes.captions:ShapesPrompts")]
)
"""Worlds whose captions have no end, by name."""
_SETS = files("autointerp.prompts") / "sets"
_KEPT = "held-out"
"""The folder of the prompts that are held out of each shipped set."""


def prompt_sets() -> list[str]:
    """List the names of the shipped prompt sets."""
    return sorted(entry.name.removesuffix(".txt") for entry in _SETS.iterdir() if entry.name.endswith(".txt"))


def _set(name: str) -> tuple[Prompt, ...]:
    """Return the prompts of a shipped set, or those that are held out of it."""
    return parse_prompts((_SETS / f"{name}.txt").read_text(encoding="utf-8"), name, False)


def load_prompts(spec: str | Path, folder: Path | None = None, local_files_only: bool = False) -> PromptSource:
    """Load the prompts that a setting names.

    Args:
        spec: A world of captions, a shipped set, `datasets:ID[@REVISION][:SPLIT[:COLUMN]]` (see `datasets`), or a file:
            `.jsonl` with a `{"prompt": ..., "seed": ..., "size": ...}` a line (all but the prompt may be left out,
            and `size` be `width` and `height`), `.json` or `.yaml` with a list of those or of texts (see `documents`),
            `.parquet`, `.csv` or `.tsv` with a column of prompts, any other with a prompt a line. Blank lines, and in
            text files lines that begin with `#`, do not count.
        folder: The folder of relative paths; the current one if None.
        local_files_only: Whether the settings forbid requests to the hub for a data set.

    Raises:
        AutointerpError: The file is missing, is no text, is empty, or has a bad line (the message names it).
        UsageError: There is no such set.
    """
    name = str(spec)
    named = [*CAPTIONS, *prompt_sets()]
    if not name.strip():
        raise UsageError("the prompts file has no name", f"give a file, or one of {', '.join(named)}")
    if name in CAPTIONS:
        return CAPTIONS[name].load()()
    if name in prompt_sets():
        return FilePrompts(name, _set(name), kept=_set(f"{_KEPT}/{name}"))
    path = (folder or Path()) / expanded(spec)
    if is_data_set(name, path):
        return load_dataset_prompts(name, folder, local_files_only)
    try:
        return read_prompts_file(name, path)
    except FileNotFoundError:
        if "/" not in name and "." not in name:
            raise UsageError(f"there is no prompt set and no prompts file {name!r}", nearest(name, named)) from None
        hint = f"check the path, or use one of: {', '.join(named)}"
        raise AutointerpError(f"there is no prompts file {spec}", hint) from None


def pin_prompts(spec: str, local_files_only: bool = False) -> str:
    """Return the spec that a new workspace stores for prompts of the command line, valid from any folder.

    A file's path is made absolute. A data set's revision, split and column are written down.

    Args:
        spec: The prompts, as `load_prompts` takes them.
        local_files_only: Whether the settings forbid requests to the hub.

    Raises:
        AutointerpError: A data set cannot be reached.
    """
    if spec in (AUTO, *CAPTIONS, *prompt_sets()) or not spec.strip():
        return spec
    path = expanded(spec)
    if is_data_set(spec, path):
        return load_dataset_prompts(spec, None, local_files_only).spec
    if not path.exists() and "/" not in spec and "." not in spec:
        return spec  # Keep a mistyped name, so that the error quotes it.
    return str(path.absolute())
