"""What a model is, read from its small configuration files alone: quick, and without torch or weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from autointerp.diffusion.checkpoints import SUFFIXES, usual_config
from autointerp.diffusion.families import Configs, Family, ModelDefaults, family_of
from autointerp.diffusion.sizes import Size, parse_size, sides
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.hub import asking, hub_answers
from autointerp.settings import LoadingSettings

SHAPES = "shapes"
"""The name of the embedded model."""
_WHOLE = 64 * 2**20
_SAMPLES, _SAMPLE = 64, 65536
_MADE_OF = (".safetensors", ".bin", ".json", ".txt", ".model")


@dataclass(frozen=True)
class ModelDescription:
    """A model before it is loaded.

    `source` is the folder, the checkpoint, or the hub id that diffusers loads. `revision` names the weights as they
    are used: a hash of the files of a folder, or of a checkpoint and its configuration, or the commit of a hub
    repository; and how they are quantized. `aliases` maps layer names to hookpoints. `config` is the folder or hub id
    that a checkpoint's configuration is from, `commit` that of the one hub repository among these.
    """

    name: str
    source: str
    revision: str
    family: Family
    configs: Configs
    defaults: ModelDefaults
    aliases: Mapping[str, str]
    config: str | None = None
    commit: str | None = None
    loading: LoadingSettings = field(default_factory=LoadingSettings)

    def grid(self, size: Size | None = None, hookpoint: str | None = None) -> tuple[int, int]:
        """Token grid (rows, cols) of pictures of a size; of the model's default size if None.

        It depends on the hookpoint in a U-Net. Without one it is that of the denoiser's inputs.

        Raises:
            UsageError: A side is no multiple of a token's side.
        """
        size = self.defaults.size if size is None else parse_size(size)
        cell = self.family.cell_pixels(self.configs, hookpoint)
        width, height = sides(size)
        if width % cell or height % cell:
            down = parse_size(tuple(max(side // cell, 1) * cell for side in (width, height)))
            what = f"{hookpoint} of {self.name}" if hookpoint else self.name
            raise UsageError(f"a picture size of {size} does not fit {what}", f"a multiple of {cell} does: {down}")
        return height // cell, width // cell

    @property
    def coarsest_cell(self) -> int:
        """Side in pixels of the largest cell of any layer: a picture of a multiple of it fits all of them."""
        hookpoints = [None, *self.family.hookpoints(self.configs)]
        return max(self.family.cell_pixels(self.configs, hookpoint) for hookpoint in hookpoints)


def describe_model(
    name: str = SHAPES, revision: str | None = None, loading: LoadingSettings | None = None
) -> ModelDescription:
    """Describe the embedded model, a pipeline's folder, a single-file checkpoint, or a hub repository.

    Args:
        name: `shapes`, a folder, a `.safetensors` or `.ckpt` file, or a hub id (`owner/name`).
        revision: Branch, tag or commit of a hub id.
        loading: How it will be loaded: where a file's configuration is, whether the hub may be asked, and what the
            weights become.

    Raises:
        AutointerpError: There is no such model, it is not a pipeline, or its pipeline class has no entry.
        UsageError: A setting of the loading cannot be meant of such a model.
    """
    loading = loading or LoadingSettings()
    path = _on_this_machine(name)
    if path is not None and path.is_file():
        described = _describe_file(path, revision, loading)
    elif loading.config is not None:
        raise UsageError(f"loading.config is for a single-file checkpoint, and {name!r} is none", "leave it out")
    else:
        described = _describe_pipeline(name, path, revision, loading)
    return replace(described, revision=loading.made_into(described.revision), loading=loading)


def folder_revision(folder: Path) -> str:
    """A hash that tells whether two folders hold the same model.

    Files of up to 64 MiB count whole; of larger ones the size and 64 blocks spread over them, so that this stays
    quick for a model of any size.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in _MADE_OF and p.is_file()):
        if path.name != "autointerp.json":  # It sets defaults, which results carry themselves.
            _take_in(digest, path, path.relative_to(folder).as_posix())
    return f"sha256-{digest.hexdigest()[:16]}"


def _take_in(digest: Any, path: Path, name: str) -> None:
    size = path.stat().st_size
    digest.update(f"{name} {size}\n".encode())
    with path.open("rb") as file:
        if size <= _WHOLE:
            digest.update(file.read())
            return
        for i in range(_SAMPLES):
            file.seek((size - _SAMPLE) * i // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE))


def _on_this_machine(name: str) -> Path | None:
    """The folder or checkpoint that a name means, or None where it is a hub id."""
    if not name.strip():
        raise UsageError("the model's name is empty", f"give {SHAPES}, a folder, a checkpoint, or a hub id")
    if name == SHAPES:
        folder = Path(str(files("autointerp.shapes"))) / "weights" / "model"
        if not (folder / "model_index.json").is_file():
            raise AutointerpError("the weights of the shapes model are not installed", "install autointerp again")
        return folder
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.is_file() and folder.suffix not in SUFFIXES:
        raise AutointerpError(
            f"the model {name!r} is a file, and no checkpoint", f"one ends in {' or '.join(SUFFIXES)}; or give a folder"
        )
    if folder.is_file():
        return folder.resolve()
    parts = name.split("/")
    if len(parts) == 1:
        raise UsageError(f"there is no model {name!r}", f"give a folder or a hub id; {nearest(name, [SHAPES])}")
    if len(parts) != 2 or name.startswith((".", "/", "~")) or not all(parts):
        what = "checkpoint" if folder.suffix in SUFFIXES else "model folder"
        raise AutointerpError(f"there is no {what} {name!r}", "check the path")
    return None


def _config_file(component: str) -> str:
    return f"{component}/{'scheduler_' if component == 'scheduler' else ''}config.json"


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise AutointerpError(f"{path} cannot be read: {error}", "fetch the model again") from None
    if not isinstance(found, dict):
        raise AutointerpError(f"{path} holds no JSON object", "fetch the model again")
    return found


def _describe_pipeline(
    name: str, folder: Path | None, revision: str | None, loading: LoadingSettings
) -> ModelDescription:
    """Of a folder, or of a hub repository where there is none."""
    if folder is None:
        return _describe_hub(name, revision, loading.local_files_only)
    if revision is not None:
        raise UsageError(f"--revision does not apply to the local model {name!r}", "leave it out")
    index = _read_json(folder / "model_index.json")
    if index is None:
        raise AutointerpError(f"{folder} is no pipeline: it has no model_index.json", "name the folder that has one")
    family = family_of(str(index.get("_class_name")), index)
    configs = {}
    for part in family.components:
        file = _config_file(part)
        if (config := _read_json(folder / file)) is None:
            raise AutointerpError(f"{folder} is not complete: {file} is missing", "fetch the model again")
        configs[part] = config
    own = _read_json(folder / "autointerp.json") or {}
    kept_name = SHAPES if name == SHAPES else str(folder)
    return _described(kept_name, str(folder), folder_revision(folder), family, configs, own)


def _describe_hub(name: str, revision: str | None, local_files_only: bool) -> ModelDescription:
    from huggingface_hub import hf_hub_download

    offline = not hub_answers(local_files_only)

    def fetch(file: str) -> Path:
        return Path(hf_hub_download(name, file, revision=revision, local_files_only=offline))

    absent = ("is no pipeline", "name one with a model_index.json")
    with asking(name, revision=revision, local_files_only=local_files_only, absent=absent):
        index_path = fetch("model_index.json")
        index = _read_json(index_path) or {}
        family = family_of(str(index.get("_class_name")), index)
        configs = {part: _read_json(fetch(_config_file(part))) or {} for part in family.components}
    commit = index_path.parent.name
    return replace(_described(name, name, commit, family, configs, {}), commit=commit)


def _describe_file(file: Path, revision: str | None, loading: LoadingSettings) -> ModelDescription:
    """Weights alone: everything else is that of a pipeline with the same configuration."""
    if loading.variant is not None:
        raise UsageError(f"loading.variant does not apply to the checkpoint {file}", "leave it out")
    config = loading.config or usual_config(file)
    try:
        like = _describe_pipeline(config, _on_this_machine(config), revision, loading)
    except AutointerpError as error:
        if loading.config is not None:
            raise
        raise AutointerpError(
            f"{file} looks like {config}, whose configuration it needs: {error.message}",
            "set loading.config to a folder or hub id of a pipeline with the same configuration",
            retryable=error.retryable,
        ) from error
    digest = hashlib.sha256(f"{like.revision}\n".encode())
    _take_in(digest, file, "")
    own = f"sha256-{digest.hexdigest()[:16]}"
    return replace(like, name=str(file), source=str(file), revision=own, config=like.source)


def _may_be(family: Family, hookpoint: Any) -> bool:
    """Whether a hookpoint that is not listed can be taken at the user's word."""
    return family.open and isinstance(hookpoint, str) and hookpoint.startswith(f"{family.denoiser}.")


def _described(
    name: str, source: str, revision: str, family: Family, configs: Configs, own: dict[str, Any]
) -> ModelDescription:
    """Put the model's own `autointerp.json` over what its family says."""
    where = f"{source}/autointerp.json"
    own = dict(own)
    changed = own.pop("aliases", {})
    try:
        known = family.hookpoints(configs)
        said = family.read_defaults(configs)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise AutointerpError(
            f"the configuration of {name!r} is not that of a {family.pipeline_class}: {type(error).__name__} {error}",
            "fetch the model again",
        ) from None
    if not isinstance(changed, dict):
        raise AutointerpError(f"{where}: aliases is no object", "write {'mid': 'a.hookpoint'}")
    for alias, hookpoint in changed.items():
        if hookpoint not in known and not _may_be(family, hookpoint):
            raise AutointerpError(f"{where}: {alias} is no hookpoint: {hookpoint!r}", nearest(str(hookpoint), known))
    defaults = family.defaults.updated(said, where).updated(own, where)
    return ModelDescription(name, source, revision, family, configs, defaults, {**family.aliases(configs), **changed})
