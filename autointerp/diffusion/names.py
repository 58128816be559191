"""Names of models: a folder, a file, or a repository of the hub, however people write it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from autointerp.diffusion.checkpoints import SUFFIXES
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.files import expanded
from autointerp.worlds import DEFAULT_MODEL, WORLDS, world_of

_HOSTS = ("huggingface.co", "hf.co")
_OTHER_PAGES = {"datasets": "a data set", "spaces": "a space", "collections": "a collection", "papers": "a paper"}
_AS_OWNER_AND_NAME = "a model of the hub is written as owner/name"


def on_this_machine(name: str) -> Path | None:
    """Return the folder or checkpoint that a name means; None where it is a hub id.

    Raises:
        AutointerpError: The name is that of a path, and nothing that can be a model is there.
        UsageError: The name is none at all.
    """
    if not name.strip():
        raise UsageError("the model's name is empty", f"give {DEFAULT_MODEL}, a folder, a checkpoint, or a hub id")
    if (embedded := world_of(name).folder) is not None:
        if not (embedded / "model_index.json").is_file():
            raise AutointerpError(f"the weights of the {name} model are not installed", "install autointerp again")
        return embedded
    folder = expanded(name)
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
        raise UsageError(f"there is no model {name!r}", f"give a folder or a hub id; {nearest(name, WORLDS)}")
    if len(parts) != 2 or name.startswith((".", "/", "~")) or not all(parts):
        what = "checkpoint" if folder.suffix in SUFFIXES else "model folder"
        raise AutointerpError(f"there is no {what} {name!r}", "check the path")
    return None


def plain_name(name: str, revision: str | None = None) -> tuple[str, str | None]:
    """Return a model's name without what surrounds a hub id, and the revision that an address names.

    `https://huggingface.co/owner/name/tree/REVISION`, `hf:owner/name` and `owner/name/` mean `owner/name`. The name of
    anything on this machine stays as it is.

    Args:
        name: The name as a person gave it.
        revision: The revision that was given beside it.

    Raises:
        UsageError: The address is of no model of the hub, holds a secret, or names another revision.
    """
    given = name.strip()
    if not given or not world_of(given).is_open or expanded(given).exists():
        return name, revision
    found, named = _of_address(given)
    if named is not None and revision is not None and named != revision:
        raise UsageError(f"the model's address names the revision {named!r}, and --revision {revision!r}", "give one")
    return found, revision if named is None else named


def _of_address(name: str) -> tuple[str, str | None]:
    """Return the hub id and the revision of an address; any other name as it is."""
    for prefix in ("hf://", "hf:"):
        if name.startswith(prefix):
            repo, _, revision = name.removeprefix(prefix).strip("/").partition("@")
            return repo, revision or None
    hosts = _hosts()
    if "://" not in name and name.partition("/")[0].lower().removeprefix("www.") in hosts:
        name = f"https://{name}"
    if "://" not in name:
        is_path = name.startswith((".", "/", "~"))
        return (name if is_path else name.rstrip("/") if name.count("/") > 1 else name), None
    address = urlsplit(name)
    if address.username or address.password:
        raise UsageError("the model's address holds a secret", f"{_AS_OWNER_AND_NAME}; put a token into HF_TOKEN")
    host = (address.hostname or "").removeprefix("www.")
    if address.scheme not in ("http", "https") or host not in hosts:
        raise UsageError(
            f"the model's address is of {host or address.scheme}, not of the Hugging Face hub",
            f"{_AS_OWNER_AND_NAME}; of elsewhere, fetch the files and name their folder or the checkpoint",
        )
    return _of_page([unquote(part) for part in address.path.split("/") if part])


def _of_page(parts: list[str]) -> tuple[str, str | None]:
    """Return the hub id and the revision that the path of a page of the hub names."""
    if parts and parts[0] in _OTHER_PAGES:
        raise UsageError(f"the model's address is that of {_OTHER_PAGES[parts[0]]}", _AS_OWNER_AND_NAME)
    if len(parts) < 2:
        raise UsageError("the model's address names no model", _AS_OWNER_AND_NAME)
    repo, page, rest = f"{parts[0]}/{parts[1].removesuffix('.git')}", parts[2] if len(parts) > 2 else None, parts[3:]
    if page in ("blob", "resolve", "raw"):
        raise UsageError(
            f"the model's address is that of a file of {repo}", f"give {repo}, or fetch the file and name it"
        )
    if page not in ("tree", "commit", "commits") or not rest:
        return repo, None
    revision = "/".join(rest[:3]) if rest[0] == "refs" else rest[0]
    return repo, None if revision == "main" else revision


def _hosts() -> tuple[str, ...]:
    """Return the hosts whose addresses are those of the hub: its own, and the one that HF_ENDPOINT names."""
    other = urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname
    return (*_HOSTS, other) if other else _HOSTS
