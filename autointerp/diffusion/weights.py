"""Files of weights of a pipeline's parts, judged before anything is loaded: by their names and their headers.

Loading a model may take minutes, and its parts are loaded one by one. What is wrong with a file's name or with the list
of its tensors is found here in milliseconds, without torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autointerp.diffusion.checkpoints import header_of
from autointerp.errors import AutointerpError
from autointerp.filetypes import check_may_be_weights

_FILE = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)(?:\.(?P<variant>[\w-]+?))?(?:-\d{5}-of-\d{5})?"
    r"(?:\.(?P<legacy>\w+))?\.(?:safetensors|bin)"
)
_ADAPTER = re.compile(
    r"(?:^|[._])(?:lora|hada|lokr|loha|oft|ia3|vera)_|[._]lora[._]|\.base_layer\.|\.modules_to_save\."
)
"""Names that adapters give their own weights, and the weights that they stand around."""
_WRAPPERS = {
    "_orig_mod.": "torch.compile; save the model inside, model._orig_mod",
    "module.": "DataParallel; save the model inside, model.module",
    "base_model.model.": "PEFT; save what merge_and_unload() returns",
}
"""Prefixes that wrappers of a model give its weights, each with the wrapper and what to save in its place."""
FUSE = "fuse and unload the LoRA (fuse_lora(), unload_lora_weights()), then save the pipeline again"


class Component(NamedTuple):
    """A part of a pipeline as its `model_index.json` names it: the part, the library, and the class."""

    part: str
    library: str
    kind: str


def components_of(index: Mapping[str, Any], without: Collection[str] = ()) -> Iterator[Component]:
    """Iterate over the parts of a pipeline that are loaded.

    Args:
        index: The content of `model_index.json`.
        without: Parts to leave out.
    """
    for part, named in index.items():
        is_part = isinstance(named, list) and len(named) == 2 and all(isinstance(name, str) for name in named)
        if is_part and not part.startswith("_") and part not in without:
            yield Component(part, *named)


def variant_of(folder: Path, variant: str | None) -> str | None:
    """Return the variant of a part's files that is read: the wanted one, or None where the part lacks it."""
    return variant if variant is not None and variant in _by_variant(folder) else None


def check_part_files(
    name: str, folder: Path, index: Mapping[str, Any], variant: str | None, without: Collection[str]
) -> None:
    """Check the files of a pipeline's folder that weights are read from.

    Args:
        name: The model's name, for errors.
        folder: The pipeline's folder.
        index: The content of its `model_index.json`.
        variant: The setting `loading.variant`.
        without: Parts that are not loaded.

    Raises:
        AutointerpError: A part has no weights, or only those of a variant; a file is missing, damaged or a pointer; or
            the tensors are those of a wrapper or of an adapter.
    """
    parts = [component.part for component in components_of(index, without)]
    folders = {part: folder / part for part in parts if (folder / part / "config.json").is_file()}
    _check_variant(name, variant, [_by_variant(path) for path in folders.values()])
    for part in parts:
        if not (folder / part).is_dir() and not (folder / "config.json").is_file():
            raise AutointerpError(f"the model {name!r} is not complete: {part}/ is missing", "fetch the model again")
    for part, path in folders.items():
        _check_part(f"the {part} of {name!r}", path, variant)


def check_listed_files(
    name: str, files: Collection[str], index: Mapping[str, Any], variant: str | None, without: Collection[str]
) -> None:
    """Check the list of a repository's files: whether each part has weights, of the wanted variant or plain ones.

    Args:
        name: The model's name, for errors.
        files: Paths of the repository's files.
        index: The content of its `model_index.json`.
        variant: The setting `loading.variant`.
        without: Parts that are not loaded.

    Raises:
        AutointerpError: A part has no weights, or only those of a variant.
    """
    parts = [component.part for component in components_of(index, without)]
    parts = [part for part in parts if f"{part}/config.json" in files]
    beside = {part: [file.removeprefix(f"{part}/") for file in files if file.startswith(f"{part}/")] for part in parts}
    found = {part: _variants_among(names) for part, names in beside.items()}
    _check_variant(name, variant, list(found.values()))
    for part, variants in found.items():
        _chosen(f"the {part} of {name!r}", part, variants, variant)


def adapted(names: Collection[str]) -> str | None:
    """Return a name among those of weights that an adapter, such as LoRA, gave; None where there is none."""
    return next((name for name in sorted(names) if _ADAPTER.search(name)), None)


def wrapped(names: Collection[str]) -> tuple[str, str] | None:
    """Return the prefix that a wrapper gave all names of weights, and what to do about it; None without one."""
    for prefix, remedy in _WRAPPERS.items():
        if names and all(name.startswith(prefix) for name in names):
            return prefix, f"they are those of {remedy}"
    if any("._orig_mod." in name for name in names):
        return "_orig_mod.", "they are those of torch.compile; save the model before it is compiled"
    return None


def _check_part(what: str, folder: Path, variant: str | None) -> None:
    """Check the files of one part."""
    files = _by_variant(folder)
    chosen = [folder / file for file in _chosen(what, folder.name, files, variant)]
    for listed in _shards(folder, variant if variant in files else None):
        if not (folder / listed).is_file():
            raise AutointerpError(f"{what} lacks the file {listed}", "fetch the model again")
    for file in chosen:
        check_may_be_weights(file)
    names = {tensor for file in chosen if file.suffix == ".safetensors" for tensor in _names(what, file)}
    if (one := adapted(names)) is not None:
        raise AutointerpError(f"{what} was saved with a LoRA still attached ({one!r})", FUSE)
    if (wrapper := wrapped(names)) is not None:
        prefix, remedy = wrapper
        raise AutointerpError(f"{what} lacks all of its {len(names)} weights: their names hold {prefix!r}", remedy)


def _check_variant(name: str, variant: str | None, parts: Collection[Mapping[str | None, Any]]) -> None:
    """Check that some part has files of the wanted variant."""
    if variant is not None and not any(variant in files for files in parts):
        raise AutointerpError(
            f"the model {name!r} has no weights of the variant {variant!r}",
            "leave out loading.variant, or name one that its files have",
        )


def _chosen(what: str, part: str, files: Mapping[str | None, Collection[str]], variant: str | None) -> Collection[str]:
    """Return the files of a part that are read, of those by variant."""
    if chosen := files.get(variant) or files.get(None):
        return chosen
    if others := sorted(str(other) for other in files):
        raise AutointerpError(
            f"{what} has weights of the variant {' and '.join(others)} alone", f"set loading.variant={others[0]}"
        )
    raise AutointerpError(f"{what} has no weights", f"fetch {part}/ again")


def _by_variant(folder: Path) -> dict[str | None, list[str]]:
    """Return the files of weights in a part's folder by their variant."""
    return _variants_among([path.name for path in folder.iterdir()] if folder.is_dir() else [])


def _variants_among(names: Iterable[str]) -> dict[str | None, list[str]]:
    """Return the files of weights among names by their variant, safetensors alone where a variant has any."""
    found: dict[str | None, list[str]] = {}
    for name in sorted(names):
        if match := _FILE.fullmatch(name):
            found.setdefault(match["variant"] or match["legacy"], []).append(name)
    safe = {which: [name for name in files if name.endswith(".safetensors")] for which, files in found.items()}
    return {which: safe[which] or files for which, files in found.items()}


def _shards(folder: Path, variant: str | None) -> set[str]:
    """Return the files that the index of a part's weights lists; none where it has no index."""
    ending = "index.json" if variant is None else f"index.{variant}.json"
    for kind in ("safetensors", "bin"):
        for path in folder.glob(f"*model*.{kind}.{ending}"):
            try:
                return set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
            except (ValueError, KeyError, TypeError, AttributeError):
                raise AutointerpError(f"{path} cannot be read", "fetch the model again") from None
    return set()


def _names(what: str, file: Path) -> Collection[str]:
    """Return the names of the tensors of a safetensors file."""
    try:
        return header_of(file).keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise AutointerpError(f"the weights of {what} are damaged: {file.name}", "fetch the model again") from None
