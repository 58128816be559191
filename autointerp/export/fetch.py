"""Files of a hub repository, `hf:OWNER/REPO[/SUB]`, as a path on this machine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from autointerp.errors import AutointerpError, UsageError
from autointerp.export.bundle import MANIFEST
from autointerp.hub import asking, hub_answers

HUB = "hf:"
_BESIDE = (".json", ".jsonl", ".yaml", ".yml")
"""Endings of what is fetched along with weights."""


def fetched(path: str, local_files_only: bool = False) -> Path:
    """The path itself, or where the hub's files of an `hf:` address lie; they are fetched into the hub's own cache.

    Args:
        path: A path on this machine, or an address.
        local_files_only: Never ask the hub, only its cache.

    Raises:
        UsageError: The address is not written so, or names a folder that holds several dictionaries.
        AutointerpError: There is no such repository or folder, or the hub does not answer and the files are not here.
    """
    if not path.startswith(HUB):
        return Path(path).expanduser()
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
        wanted = _wanted(path, HfApi().list_repo_files(repo), sub)
        return Path(snapshot_download(repo, allow_patterns=wanted))


def _wanted(path: str, files: list[str], sub: str) -> list[str]:
    """The files of the one dictionary that an address means, with what lies beside them."""
    from autointerp.dictionaries.formats.source import WEIGHTS

    inside = [f for f in files if not sub or f == sub or f.startswith(f"{sub}/")]
    weights = [f for f in inside if f.endswith(WEIGHTS)]
    if not weights:
        raise AutointerpError(f"{path} holds no weights", f"a dictionary has a file that ends in {', '.join(WEIGHTS)}")
    folders = sorted({str(PurePosixPath(f).parent) for f in weights})
    if len(folders) > 1 and (sub or ".") not in folders:
        named = ", ".join(folders[:8]) + (", ..." if len(folders) > 8 else "")
        raise UsageError(f"{path} holds {len(folders)} dictionaries", f"name one of its folders: {named}")
    folder = folders[0] if len(folders) == 1 else sub or "."
    if str(PurePosixPath(folder, MANIFEST)) in files:
        return [f for f in files if folder == "." or f.startswith(f"{folder}/")]  # A bundle is whole or nothing.
    near = [f for f in files if str(PurePosixPath(f).parent) in (folder, str(PurePosixPath(folder).parent))]
    return [f for f in near if f in weights or f.endswith(_BESIDE)]
