"""The files of a dictionary on the hub, `hf:OWNER/REPO[/SUB]`, fetched to this machine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from autointerp.errors import AutointerpError, UsageError
from autointerp.export.bundle import MANIFEST
from autointerp.files import expanded
from autointerp.hub import asking, hub_answers

HUB = "hf:"
_BESIDE = (".json", ".jsonl", ".yaml", ".yml")
"""Endings of the files that are fetched along with weights."""


def fetched(path: str, local_files_only: bool = False) -> Path:
    """Return a path on this machine; the files of an `hf:` address are fetched into the hub's own cache first.

    Args:
        path: A path on this machine, or an address.
        local_files_only: Look only into the hub's cache, and do not ask the hub.

    Raises:
        UsageError: The address is not written so, or names a folder that holds several dictionaries.
        AutointerpError: There is no such repository or folder, or the hub does not answer and the files are not here.
    """
    if not path.startswith(HUB):
        return expanded(path)
    parts = path[len(HUB) :].strip("/").split("/")
    if len(parts) < 2 or not all(parts) or ".." in parts:
        raise UsageError(f"{path!r} is no address of the hub", "write hf:OWNER/REPO, or hf:OWNER/REPO/FOLDER")
    repo, sub = "/".join(parts[:2]), "/".join(parts[2:])
    snapshot = _fetch(path, repo, sub, local_files_only)
    found = snapshot / sub
    if not found.exists():
        raise AutointerpError(f"{repo} has no {sub!r}", "check the name on the hub")
    return found


def _fetch(path: str, repo: str, sub: str, local_files_only: bool) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    with asking(repo, "dictionary", local_files_only=local_files_only):
        if not hub_answers(local_files_only):
            return Path(snapshot_download(repo, local_files_only=True))
        wanted = files_of_dictionary(path, HfApi().list_repo_files(repo), sub)
        return Path(snapshot_download(repo, allow_patterns=wanted))


def files_of_dictionary(path: str, files: list[str], sub: str) -> list[str]:
    """Choose the files of the one dictionary that an address means, with the configuration beside its weights.

    Args:
        path: The address, for messages.
        files: The paths of all files of the repository.
        sub: The folder or file that the address names; empty for the whole repository.

    Raises:
        UsageError: The folder holds several dictionaries.
        AutointerpError: The folder holds no weights.
    """
    from autointerp.dictionaries.formats.places import WEIGHTS, checkpoints, dictionary_files, listed, natural

    inside = [f for f in files if not sub or f == sub or f.startswith(f"{sub}/")]
    # An optimizer is twice as large as its dictionary: it is not fetched.
    weights = dictionary_files(inside)
    if not weights:
        raise AutointerpError(f"{path} holds no weights", f"a dictionary has a file that ends in {', '.join(WEIGHTS)}")
    folders = sorted({str(PurePosixPath(f).parent) for f in weights}, key=natural)
    if len(folders) > 1 and (sub or ".") not in folders:
        raise UsageError(f"{path} holds {len(folders)} dictionaries", f"name one of its folders: {listed(folders)}")
    folder = folders[0] if len(folders) == 1 else sub or "."
    if str(PurePosixPath(folder, MANIFEST)) in files:
        # A bundle is read only if all its files are there.
        return [f for f in files if folder == "." or f.startswith(f"{folder}/")]
    if several := checkpoints(f for f in weights if str(PurePosixPath(f).parent) == folder):
        raise UsageError(
            f"{path} holds {len(several)} dictionaries: {listed(PurePosixPath(f).name for f in several)}",
            f"name one of its files, e.g. {HUB}{_repo(path)}/{several[-1]}",
        )
    near = [f for f in files if str(PurePosixPath(f).parent) in (folder, str(PurePosixPath(folder).parent))]
    return [f for f in near if f in weights or f.endswith(_BESIDE)]


def _repo(path: str) -> str:
    """Return the OWNER/REPO of an address."""
    return "/".join(path.removeprefix(HUB).split("/")[:2])
