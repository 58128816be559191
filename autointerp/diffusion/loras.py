"""LoRAs of a model: which files the setting `loading.lora` means, and the revision that they make of the model's.

A LoRA is known by its content and its weight, wherever its file lies. Needs no torch and no weights of the model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from autointerp.diffusion.checkpoints import header_of
from autointerp.diffusion.revisions import hash_weights
from autointerp.diffusion.weights import adapted
from autointerp.errors import AutointerpError, UsageError
from autointerp.files import expanded
from autointerp.filetypes import check_may_be_weights
from autointerp.hub import asking, hub_answers, why_not

FORM = "write PATH or OWNER/NAME, and :WEIGHT where that is not 1"
_FILE = "pytorch_lora_weights.safetensors"
"""The name that diffusers gives the file of a LoRA."""
_SUFFIX = ".safetensors"
_NOUN = "LoRA"


@dataclass(frozen=True)
class Lora:
    """A LoRA that is added to a model's weights.

    Attributes:
        name: Its path or hub id, as a person gave it.
        file: Its file on this machine.
        weight: What its change of the weights is multiplied by.
        digest: 12 hexadecimal digits of the hash of its content.
    """

    name: str
    file: Path
    weight: float
    digest: str

    @property
    def revision(self) -> str:
        """What it adds to the revision of the model."""
        return f"lora-{self.digest}-x{self.weight:g}"


def split_weight(entry: str) -> tuple[str, float]:
    """Split an entry of `loading.lora` into its place and its weight, which is 1 where none is given.

    Raises:
        ValueError: There is no place, or what follows the last colon is neither a number nor part of a path.
    """
    place, colon, tail = entry.strip().rpartition(":")
    if not colon or tail.endswith(_SUFFIX) or "/" in tail or "\\" in tail:
        place, tail = entry.strip(), "1"
    try:
        weight = float(tail)
    except ValueError:
        weight = math.nan
    if not place or not math.isfinite(weight):
        raise ValueError(f"{entry!r} has no number as its weight: {FORM}")
    return place, weight


def lora_name(place: str) -> str:
    """Return what a LoRA is called: by its file, or by the folder of a file that has the name diffusers gives to all.

    >>> lora_name("loras/style-v1.5.safetensors"), lora_name("style/pytorch_lora_weights.safetensors")
    ('style-v1.5', 'style')
    """
    path = Path(place)
    return path.parent.name if path.name == _FILE and path.parent.name else path.name.removesuffix(_SUFFIX)


def loras_of(entries: Sequence[str], local_files_only: bool = False) -> tuple[Lora, ...]:
    """Return the LoRAs that entries of `loading.lora` mean, in the order of their content; fetch those of the hub.

    Args:
        entries: The entries.
        local_files_only: The setting `loading.local_files_only`.

    Raises:
        AutointerpError: There is no such file or repository, it holds no LoRA or several, or a file is damaged.
    """
    found = []
    for place, weight in map(split_weight, entries):
        file = _file_of(place, local_files_only)
        _check_names(place, file)
        digest = hashlib.sha256()
        hash_weights(digest, file, "")
        found.append(Lora(place, file, weight, digest.hexdigest()[:12]))
    return tuple(sorted(found, key=lambda lora: (lora.digest, lora.weight)))


def _file_of(place: str, local_files_only: bool) -> Path:
    """Return the file that a place means, on this machine or on the hub."""
    path = expanded(place)
    if path.is_dir():
        files = [file.name for file in path.iterdir()]
        return path / _chosen(f"the folder {place}", files, f"{place}/")
    if path.is_file():
        if path.suffix != _SUFFIX:
            raise AutointerpError(f"the {_NOUN} {place} is no {_SUFFIX} file", "convert it; others could run code")
        return path
    repo = place.removeprefix("hf:").strip("/")
    parts = repo.split("/")
    if len(parts) < 2 or not all(parts) or place.startswith((".", "/", "~")) or "\\" in place:
        raise AutointerpError(f"there is no {_NOUN} {place!r}", f"check the path, or {FORM}")
    return _of_hub("/".join(parts[:2]), "/".join(parts[2:]), local_files_only)


def _of_hub(repo: str, file: str, local_files_only: bool) -> Path:
    """Fetch the file of a LoRA from the hub, or find it in the hub's cache."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    offline = not hub_answers(local_files_only)
    absent = (f"has no file {file!r}", "check the name on the hub")
    with asking(repo, _NOUN, local_files_only=local_files_only, absent=absent):
        if not file and offline:
            folder = Path(snapshot_download(repo, local_files_only=True))
            cached = [path.relative_to(folder).as_posix() for path in folder.rglob(f"*{_SUFFIX}")]
            reason = why_not(local_files_only)
            return folder / _chosen(f"the download of {repo!r}, where {reason},", cached, f"{repo}/")
        file = file or _chosen(f"the repository {repo!r}", HfApi().list_repo_files(repo), f"{repo}/")
        return Path(hf_hub_download(repo, file, local_files_only=offline))


def _chosen(what: str, files: Collection[str], prefix: str) -> str:
    """Return the file of a LoRA among those of a folder or a repository."""
    candidates = sorted(file for file in files if file.endswith(_SUFFIX))
    if _FILE in candidates:
        return _FILE
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise AutointerpError(f"{what} holds no {_SUFFIX} file of a {_NOUN}", "name one that does")
    raise UsageError(
        f"{what} holds {len(candidates)} {_SUFFIX} files",
        f"name one of them: {', '.join(prefix.rstrip('/') + '/' + file for file in candidates[:4])}",
    )


def _check_names(place: str, file: Path) -> None:
    """Check that a file holds a LoRA by the names of its tensors."""
    check_may_be_weights(file)
    try:
        names = header_of(file).keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise AutointerpError(f"the {_NOUN} {place} is damaged", "fetch it again") from None
    if adapted(names) is None:
        raise AutointerpError(
            f"{place} is no {_NOUN}: none of its {len(names)} tensors is named as one",
            "a whole model is named by --model",
        )
