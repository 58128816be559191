"""Describe a model from its small configuration files alone: quickly, and without torch or weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autointerp.diffusion.checking import check_index
from autointerp.diffusion.checkpoints import usual_config
from autointerp.diffusion.description import ModelDescription
from autointerp.diffusion.families import Configs, Family, family_of
from autointerp.diffusion.families.distilled import distilled
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.diffusion.loras import loras_of
from autointerp.diffusion.names import on_this_machine, plain_name
from autointerp.diffusion.revisions import folder_revision, hash_weights
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.filetypes import check_no_pointer
from autointerp.hub import asking, hub_answers
from autointerp.worlds import DEFAULT_MODEL, world_of


def describe_model(
    name: str = DEFAULT_MODEL, revision: str | None = None, loading: LoadingSettings | None = None
) -> ModelDescription:
    """Describe an embedded model, a pipeline's folder, a single-file checkpoint, or a hub repository.

    Args:
        name: `shapes-turbo`, `shapes`, a folder, a `.safetensors` or `.ckpt` file, or a hub id (`owner/name`).
        revision: Branch, tag or commit of a hub id.
        loading: How it will be loaded: the place of a file's configuration, whether the hub may be asked, and changes
            of the weights, LoRAs among them.

    Raises:
        AutointerpError: There is no such model, it is no pipeline, or nothing is known of its pipeline class.
        UsageError: A setting of the loading does not apply to such a model.
    """
    loading = loading or LoadingSettings()
    name, revision = plain_name(name, revision)
    path = on_this_machine(name)
    if path is not None and path.is_file():
        described = _describe_file(path, revision, loading)
    elif loading.config is not None:
        raise UsageError(f"loading.config is for a single-file checkpoint, and {name!r} is none", "leave it out")
    else:
        described = _describe_pipeline(name, path, revision, loading)
    loras = loras_of(loading.lora, loading.local_files_only)
    made = "+".join([loading.made_into(described.revision), *(lora.revision for lora in loras)])
    return replace(described, revision=made, loading=loading, loras=loras)


def _config_file(component: str) -> str:
    """Return the path of a component's configuration within a pipeline."""
    return f"{component}/{'scheduler_' if component == 'scheduler' else ''}config.json"


def _read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object from a file; None where there is no file."""
    if not path.is_file():
        return None
    check_no_pointer(path)
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
    """Describe a pipeline's folder, or a hub repository where there is none."""
    if folder is None:
        return describe_hub(name, revision, loading.local_files_only)
    if revision is not None:
        raise UsageError(f"--revision does not apply to the local model {name!r}", "leave it out")
    index = _read_json(folder / "model_index.json")
    if index is None and (folder / "modular_model_index.json").is_file():
        raise AutointerpError(
            f"{folder} is a modular pipeline, whose order of calls is written by whoever puts its blocks together",
            "name a pipeline that has a model_index.json",
        )
    if index is None:
        raise AutointerpError(f"{folder} is no pipeline: it has no model_index.json", "name the folder that has one")
    check_index(name, index)
    family = family_of(str(index.get("_class_name")), index)
    shared, configs = world_of(name).shared_folder, {"model_index": index}
    for part in _configured(family, index):
        file = _config_file(part)
        config = _read_json(folder / file)
        if config is None and shared is not None:
            config = _read_json(shared / file)
        if config is None:
            raise AutointerpError(f"{folder} is not complete: {file} is missing", "fetch the model again")
        configs[part] = config
    own = _read_json(folder / "autointerp.json") or {}
    kept_name = str(folder) if world_of(name).is_open else name
    revision = folder_revision(folder, *([] if shared is None else [shared]))
    described = _described(kept_name, str(folder), revision, family, configs, own)
    return replace(described, shared=shared, index=index)


def _configured(family: Family, index: Mapping[str, Any]) -> list[str]:
    """List the components whose configuration is read: those of the family, and the scheduler, which decides steps."""
    named = index.get("scheduler")
    return list(dict.fromkeys([*family.components, *(["scheduler"] if named and named[0] else [])]))


def describe_hub(name: str, revision: str | None, local_files_only: bool) -> ModelDescription:
    """Describe a hub repository."""
    from huggingface_hub import hf_hub_download

    offline = not hub_answers(local_files_only)

    def fetch(file: str) -> Path:
        return Path(hf_hub_download(name, file, revision=revision, local_files_only=offline))

    absent = (
        "is no pipeline",
        "name one with a model_index.json; modular pipelines, as FLUX.3, have none",
    )
    with asking(name, revision=revision, local_files_only=local_files_only, absent=absent):
        index_path = fetch("model_index.json")
        index = _read_json(index_path) or {}
        check_index(name, index)
        family = family_of(str(index.get("_class_name")), index)
        configs = {part: _read_json(fetch(_config_file(part))) or {} for part in _configured(family, index)}
        configs["model_index"] = index
    commit = index_path.parent.name
    return replace(_described(name, name, commit, family, configs, {}), commit=commit, index=index)


def _describe_file(file: Path, revision: str | None, loading: LoadingSettings) -> ModelDescription:
    """Describe a file of weights; everything else comes from a pipeline with the same configuration."""
    if loading.variant is not None:
        raise UsageError(f"loading.variant does not apply to the checkpoint {file}", "leave it out")
    config, revision = plain_name(loading.config or usual_config(file), revision)
    try:
        like = _describe_pipeline(config, on_this_machine(config), revision, loading)
    except AutointerpError as error:
        if loading.config is not None:
            raise
        raise AutointerpError(
            f"{file} looks like {config}, whose configuration it needs: {error.message}",
            "set loading.config to a folder or hub id of a pipeline with the same configuration",
            retryable=error.retryable,
        ) from error
    digest = hashlib.sha256(f"{like.revision}\n".encode())
    hash_weights(digest, file, "")
    own = f"sha256-{digest.hexdigest()[:16]}"
    whole = replace(like, name=str(file), source=str(file), revision=own, config=like.source)
    found = distilled(file.stem, like.family, like.configs)
    if found is None or like.distilled or "steps" in (_read_json(Path(like.source) / "autointerp.json") or {}):
        return whole
    few = like.defaults.updated({"steps": found.steps, "guidance": found.guidance}, str(file))
    return replace(whole, defaults=few, distilled=found.why)


def _may_be(family: Family, hookpoint: Any) -> bool:
    """Whether a hookpoint that is not listed may exist, which loading will find out."""
    return family.open and isinstance(hookpoint, str) and hookpoint.startswith(f"{family.denoiser}.")


def _described(
    name: str, source: str, revision: str, family: Family, configs: Configs, own: dict[str, Any]
) -> ModelDescription:
    """Put the values `own` of the model's `autointerp.json` over what its family says."""
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
    found = distilled(name, family, configs)
    few = {} if found is None else {"steps": found.steps, "guidance": found.guidance}
    defaults = family.defaults.updated({**said, **few}, where).updated(own, where)
    aliases = {**family.aliases(configs), **changed}
    why = None if found is None or "steps" in own else found.why
    return ModelDescription(name, source, revision, family, configs, defaults, aliases, distilled=why)
