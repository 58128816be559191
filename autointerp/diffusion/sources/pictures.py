"""Real pictures from a folder, in place of prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from autointerp.diffusion.jobs import PREPARATION, ImageJob, RealPicture
from autointerp.diffusion.sources.caption_lists import LISTS, listed_captions
from autointerp.diffusion.sources.captions import BESIDE, CaptionFinder, beside_picture
from autointerp.diffusion.sources.hashes import content_hash, hash_file
from autointerp.diffusion.sources.picture_files import SUFFIXES, kept_size, open_picture, picture_shape, unsupported
from autointerp.diffusion.sources.prompt import check_prompt
from autointerp.diffusion.sources.protocol import HELD_OUT_SEEDS, Found, counted
from autointerp.errors import AutointerpError
from autointerp.hub import first_line
from autointerp.sizes import Size

_NAMED = ", ".join(SUFFIXES)
_FOREIGN = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    ".jxl": "JPEG XL",
    **dict.fromkeys((".jp2", ".j2k"), "JPEG 2000"),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"), "raw"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"), "video"),
    **{suffix: suffix[1:].upper() for suffix in (".svg", ".psd", ".pdf", ".exr", ".hdr", ".ico", ".tga")},
    **dict.fromkeys((".zip", ".tar", ".gz", ".7z", ".rar"), "archive"),
}
"""Endings of pictures and the like that are not read, each with the name of its format."""
_BESIDES = (*BESIDE, *(Path(name).suffix for name in LISTS), *(".md", ".npz", ".npy", ".toml", ".yaml", ".ini", ".db"))
"""Endings of captions, of caches, and of what else lies beside pictures and is no picture."""


@dataclass(frozen=True)
class Photograph:
    """A picture of a folder.

    Attributes:
        path: The file.
        sha256: Hash of its content.
        caption: The caption; empty where it has none.
        size: The size to read it at; None for that of the run.
    """

    path: Path
    sha256: str
    caption: str
    size: Size | None = None


@dataclass(frozen=True)
class PictureFolder:
    """A `PromptSource` of the pictures of a folder, each once, in the order of their names.

    Attributes:
        spec: The folder, as the user names it.
        photographs: The pictures.
        inverted: See `RealPicture`.
        left_out: The files that are not read, by the reason, and how many there are of each.
        notes: What else was left out, or taken to mean something.
    """

    spec: str
    photographs: tuple[Photograph, ...]
    inverted: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def identity(self) -> str:
        """A hash of the pictures' contents, captions and sizes, which does not depend on their paths."""
        made_of = [[one.sha256, one.caption, one.size] for one in self.photographs]
        return content_hash({"pictures": made_of, "inverted": self.inverted, "preparation": PREPARATION})

    @property
    def count(self) -> int | None:
        """The number of pictures."""
        return len(self.photographs)

    @property
    def sizes(self) -> Mapping[Size, str]:
        """No sizes: where pictures keep their shape, their sizes are chosen to fit the model."""
        return {}

    def found(self) -> Found:
        """Count the pictures, those with a caption, and the files that are left out; see `PromptSource`."""
        captions = [one.caption for one in self.photographs if one.caption]
        what = f"{counted(len(self.photographs), 'picture')}, {len(captions)} with a caption"
        return Found(what + _left_out(self.left_out), self.notes, captions, "caption")

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """Return the pictures `start` to `stop`; see `PromptSource`."""
        return [self._job(n, n, seed + n) for n in range(start, min(stop, len(self.photographs)))]

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Return pictures beyond the first `used`, where there are any; the noise differs in every case."""
        pool = range(used, len(self.photographs)) or range(len(self.photographs))
        return [self._job(n, pool[n % len(pool)], HELD_OUT_SEEDS + seed + n) for n in range(count)]

    def check(self) -> list[str]:
        """Decode every picture.

        Returns:
            Notes on what was taken to mean something, such as the first frame of an animation.

        Raises:
            AutointerpError: Some cannot be decoded; the message names them.
        """
        broken: list[str] = []
        told: Counter[str] = Counter()
        for one in self.photographs:
            try:
                open_picture(one.path.read_bytes(), (64, 64), lambda what: told.update([what]))
            except (OSError, ValueError) as error:
                broken.append(f"{one.path.name} ({first_line(error)})")
        if broken:
            more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
            raise AutointerpError(
                f"{len(broken)} of {len(self.photographs)} pictures of {self.spec} cannot be read: "
                f"{', '.join(broken[:3])}{more}",
                "move them out of the folder, or mend them",
            )
        return [f"{counted(count, 'picture')}: {what}" for what, count in sorted(told.items())]

    def _job(self, index: int, which: int, seed: int) -> ImageJob:
        """Return the job of one picture."""
        one = self.photographs[which]
        return ImageJob(index, one.caption, seed, one.size, RealPicture(one.path, one.sha256, self.inverted))


def load_pictures(folder: Path, keep: tuple[Size, int] | None = None, inverted: bool = False) -> PictureFolder:
    """Find the pictures of a folder and of the folders in it.

    A caption is the text of `NAME.txt` or `NAME.caption` beside `NAME.png`, else that of a list in the picture's folder
    or above it (see `caption_lists`), else the name of a folder `10_thing`. Names that begin with a dot, formats that
    cannot be opened, and unknown suffixes are left out and counted; so are files that repeat the content of an earlier
    one. A damaged picture is not left out: see `PictureFolder.check`.

    Args:
        folder: The folder.
        keep: (size, cell) lets pictures keep their shape, at about the area of the size and in multiples of the cell;
            None crops all to the run's size.
        inverted: See `RealPicture`.

    Raises:
        AutointerpError: There is no such folder, no picture in it, or its captions cannot be read.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise AutointerpError(f"the folder of pictures {folder} {what}", "set images_dir to one that is there")
    files = _files(folder)
    left_out: Counter[str] = Counter(reason for _, reason in files.values() if reason)
    listed, notes = listed_captions(folder, [path for path, _ in files.values() if path.name.lower() in LISTS], files)
    captions = CaptionFinder(listed)
    found: dict[str, Photograph] = {}
    repeated = 0
    for within, (path, reason) in files.items():
        if reason or path.suffix.lower() not in SUFFIXES:
            continue
        sha256 = hash_file(path)
        if sha256 in found:
            repeated += 1
            continue
        if reason := unsupported(path):
            left_out[reason] += 1
            continue
        caption = captions.caption(path, within)
        size = None if keep is None else kept_size(picture_shape(path), *keep)
        check_prompt(caption, f"the caption of {path}")
        # Make the path absolute: a worker on another machine starts in another folder.
        found[sha256] = Photograph(path.absolute(), sha256, caption, size)
    if not found:
        raise AutointerpError(
            f"there is no picture in {folder} that can be read{_left_out(left_out)}", f"give files of {_NAMED}"
        )
    again = [f"{counted(repeated, 'file')} left out, whose content came before"] if repeated else []
    return PictureFolder(str(folder), tuple(found.values()), inverted, left_out, (*again, *notes, *captions.notes))


def _files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Find the files of a folder that are pictures, lists of captions, or left out; by their path within it, sorted.

    Returns:
        Path within the folder -> the file, and the reason for which its name leaves it out, empty where it does not.
    """
    found: dict[str, tuple[Path, str]] = {}
    for path in folder.rglob("*"):
        suffix, parts = path.suffix.lower(), path.relative_to(folder).parts
        if not path.is_file():
            continue
        hidden = any(part.startswith(".") for part in parts)
        if suffix in SUFFIXES:
            reason = "hidden" if hidden else ""
        elif hidden or suffix in _BESIDES:
            if path.name.lower() not in LISTS or hidden:
                continue
            reason = ""
        else:
            reason = _FOREIGN.get(suffix) or (f"unknown suffix {suffix}" if suffix else "no suffix")
        found["/".join(parts)] = path, reason
    return dict(sorted(found.items()))


def _left_out(reasons: Mapping[str, int]) -> str:
    """Return how many files are left out and why, as the end of a clause; nothing where none is."""
    if not reasons:
        return ""
    every = sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
    why = every[0][0] if len(every) == 1 else ", ".join(f"{count} {reason}" for reason, count in every)
    return f", {sum(reasons.values())} left out ({why})"


def picture_job(path: Path, seed: int, keep: tuple[Size, int] | None = None, inverted: bool = False) -> ImageJob:
    """Return the job that reads one picture, with the caption that lies beside it.

    Args:
        path: The picture.
        seed: Seed of its noise.
        keep: See `load_pictures`.
        inverted: See `RealPicture`.

    Raises:
        AutointerpError: The caption cannot be read.
    """
    size = None if keep is None else kept_size(picture_shape(path), *keep)
    caption = beside_picture(path)
    check_prompt(caption, f"the caption of {path}")
    return ImageJob(0, caption, seed, size, RealPicture(path.absolute(), hash_file(path), inverted))
