"""What a model is, read from its small configuration files alone: quick, and without torch or weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from autointerp.diffusion.families import Configs, Family, ModelDefaults, family_of
from autointerp.diffusion.sizes import Size, parse_size, sides
from autointerp.errors import AutointerpError, UsageError, nearest

SHAPES = "shapes"
"""The name of the embedded model."""
_WHOLE = 64 * 2**20
_SAMPLES, _SAMPLE = 64, 65536
_MADE_OF = (".safetensors", ".bin", ".json", ".txt", ".model")


@dataclass(frozen=True)
class ModelDescription:
    """A model before it is loaded.

    `source` is the folder, or the hub id, that diffusers loads. `revision` names the weights: a hash of the files of
    a folder, the commit of a hub repository. `aliases` maps layer names to hookpoints.
    """

    name: str
    source: str
    revision: str
    family: Family
    configs: Configs
    defaults: ModelDefaults
    aliases: Mapping[str, str]

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


def describe_model(name: str = SHAPES, revision: str | None = None) -> ModelDescription:
    """Describe the embedded model, a pipeline's folder, or a hub repository.

    Args:
        name: `shapes`, a folder, or a hub id (`owner/name`).
        revision: Branch, tag or commit of a hub id.

    Raises:
        AutointerpError: There is no such model, it is not a pipeline, or its pipeline class has no entry.
    """
    folder = _local_folder(name)
    if folder is None:
        return _describe_hub(name, revision)
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


def folder_revision(folder: Path) -> str:
    """A hash that tells whether two folders hold the same model.

    Files of up to 64 MiB count whole; of larger ones the size and 64 blocks spread over them, so that this stays
    quick for a model of any size.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in _MADE_OF and p.is_file()):
        if path.name == "autointerp.json":
            continue  # It sets defaults, which results carry themselves.
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            if size <= _WHOLE:
                digest.update(file.read())
                continue
            for i in range(_SAMPLES):
                file.seek((size - _SAMPLE) * i // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE))
    return f"sha256-{digest.hexdigest()[:16]}"


def hub_answers() -> bool:
    """Whether there is a way to the hub: without this question, its client tries again for half a minute."""
    import socket
    from urllib.parse import urlsplit

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    address = urlsplit(constants.ENDPOINT)
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # The proxy resolves names.
    try:
        socket.getaddrinfo(address.hostname, address.port or 443)
    except OSError:
        return False
    return True


def _local_folder(name: str) -> Path | None:
    """The folder that a name means, or None where it is a hub id."""
    if not name.strip():
        raise UsageError("the model's name is empty", f"give {SHAPES}, a folder, or a hub id")
    if name == SHAPES:
        folder = Path(str(files("autointerp.shapes"))) / "weights" / "model"
        if not (folder / "model_index.json").is_file():
            raise AutointerpError("the weights of the shapes model are not installed", "install autointerp again")
        return folder
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.is_file():
        raise AutointerpError(f"the model {name!r} is a file", "give a pipeline's folder, or a hub id")
    parts = name.split("/")
    if len(parts) == 1:
        raise UsageError(f"there is no model {name!r}", f"give a folder or a hub id; {nearest(name, [SHAPES])}")
    if len(parts) != 2 or name.startswith((".", "/", "~")) or not all(parts):
        raise AutointerpError(f"there is no model folder {name!r}", "check the path")
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


def _describe_hub(name: str, revision: str | None) -> ModelDescription:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    offline = not hub_answers()

    def fetch(file: str) -> Path:
        return Path(hf_hub_download(name, file, revision=revision, local_files_only=offline))

    try:
        index_path = fetch("model_index.json")
        index = _read_json(index_path) or {}
        family = family_of(str(index.get("_class_name")), index)
        configs = {part: _read_json(fetch(_config_file(part))) or {} for part in family.components}
    except GatedRepoError:
        raise AutointerpError(
            f"the model {name!r} is gated", f"accept its terms at https://huggingface.co/{name} and set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise AutointerpError(f"the model {name!r} has no revision {revision!r}", "check --revision") from None
    except RepositoryNotFoundError:
        raise AutointerpError(f"there is no model {name!r}, neither folder nor hub id", "check the name") from None
    except LocalEntryNotFoundError:
        raise AutointerpError(
            f"the model {name!r} is neither a folder nor on this machine, and the hub does not answer",
            "check the name, or fetch it where there is a network",
            retryable=True,
        ) from None
    except EntryNotFoundError:
        raise AutointerpError(f"the hub's {name!r} is no pipeline", "name one with a model_index.json") from None
    except HFValidationError:
        raise UsageError(f"{name!r} is neither a folder nor a hub id", "write a hub id as owner/name") from None
    except AutointerpError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the network does, the person gets one line
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise AutointerpError(f"the model {name!r} cannot be fetched: {first}", "try again", retryable=True) from None
    return _described(name, name, index_path.parent.name, family, configs, {})


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
