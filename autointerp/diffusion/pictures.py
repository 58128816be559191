"""Real pictures from a folder, in the place of prompts: found, hashed, captioned, and cut to size."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.diffusion.generation import ImageJob, RealPicture
from autointerp.diffusion.prompts import HELD_OUT_SEEDS, check_prompt, content_hash, hash_file, json_line
from autointerp.diffusion.sizes import Size, parse_size, sides
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.hub import first_line

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
CAPTION_FILES = ("captions.jsonl", "metadata.jsonl")
CAPTION_KEYS = ("prompt", "caption", "text")
PREPARATION = 1
"""Raised when pictures are cut or turned in another way, so that results are made anew."""


@dataclass(frozen=True)
class Photograph:
    """A picture of a folder. `caption` is empty where it has none, `size` None where it gets that of the run."""

    path: Path
    sha256: str
    caption: str
    size: Size | None = None


@dataclass(frozen=True)
class PictureFolder:
    """A `PromptSource` that gives the pictures of a folder, each once, in the order of their names."""

    spec: str
    photographs: tuple[Photograph, ...]
    inverted: bool = False

    @cached_property
    def identity(self) -> str:
        """A hash of the pictures' contents, captions and sizes, wherever they lie and whatever they are called."""
        made_of = [[one.sha256, one.caption, one.size] for one in self.photographs]
        return content_hash({"pictures": made_of, "inverted": self.inverted, "preparation": PREPARATION})

    @property
    def count(self) -> int | None:
        """How many there are."""
        return len(self.photographs)

    @property
    def sizes(self) -> Mapping[Size, str]:
        """None that anybody asked for: where pictures keep their shape, it is made to fit."""
        return {}

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """See `PromptSource`; fewer where there are no more pictures."""
        return [self._job(n, n, seed + n) for n in range(start, min(stop, len(self.photographs)))]

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Pictures beyond the first `used`, where there are any; other noise in every case."""
        pool = range(used, len(self.photographs)) or range(len(self.photographs))
        return [self._job(n, pool[n % len(pool)], HELD_OUT_SEEDS + seed + n) for n in range(count)]

    def check(self) -> None:
        """Decode every picture.

        Raises:
            AutointerpError: Some cannot be; the message names them.
        """
        broken = []
        for one in self.photographs:
            try:
                open_picture(one.path.read_bytes(), (64, 64))
            except (OSError, ValueError, SyntaxError) as error:
                broken.append(f"{one.path.name} ({first_line(error)})")
        if broken:
            more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
            raise AutointerpError(
                f"{len(broken)} of {len(self.photographs)} pictures of {self.spec} cannot be read: "
                f"{', '.join(broken[:3])}{more}",
                "move them out of the folder, or mend them",
            )

    def _job(self, index: int, which: int, seed: int) -> ImageJob:
        one = self.photographs[which]
        return ImageJob(index, one.caption, seed, one.size, RealPicture(one.path, one.sha256, self.inverted))


def load_pictures(folder: Path, keep: tuple[Size, int] | None = None, inverted: bool = False) -> PictureFolder:
    """The pictures of a folder and of the folders in it; what begins with a dot does not count.

    A caption is the text of `NAME.txt` beside `NAME.png`, else what a line of `captions.jsonl` or `metadata.jsonl` in
    the folder says: `{"file_name": "a/NAME.png", "caption": "..."}` (or `prompt`, or `text`). A file whose content
    came before does not count.

    Args:
        folder: Where they lie.
        keep: Pictures keep their shape: (size whose area theirs should be near to, what their sides are multiples of).
            None: all are cut to the run's size.
        inverted: See `RealPicture`.

    Raises:
        AutointerpError: There is no such folder, no picture in it, or its captions cannot be read.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise AutointerpError(f"the folder of pictures {folder} {what}", "set images_dir to one that is there")
    files = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not files:
        raise AutointerpError(f"there is no picture in {folder}", f"give files of {', '.join(SUFFIXES)}")
    listed = _listed_captions(folder, {path.relative_to(folder).as_posix() for path in files})
    found: dict[str, Photograph] = {}
    for path in files:
        sha256 = hash_file(path)
        if sha256 not in found:
            caption = _sidecar(path) or listed.get(path.relative_to(folder).as_posix(), "")
            size = None if keep is None else kept_size(_dimensions(path), *keep)
            check_prompt(caption, f"the caption of {path}")
            # Absolute: a worker on another machine begins in a folder of its own.
            found[sha256] = Photograph(path.absolute(), sha256, caption, size)
    return PictureFolder(str(folder), tuple(found.values()), inverted)


def picture_job(path: Path, seed: int, keep: tuple[Size, int] | None = None, inverted: bool = False) -> ImageJob:
    """The job that reads one picture, with its caption where one lies beside it; `keep` as in `load_pictures`.

    Raises:
        AutointerpError: Its caption cannot be read.
    """
    size = None if keep is None else kept_size(_dimensions(path), *keep)
    caption = _sidecar(path)
    check_prompt(caption, f"the caption of {path}")
    return ImageJob(0, caption, seed, size, RealPicture(path.absolute(), hash_file(path), inverted))


def kept_size(shape: tuple[int, int], near: Size, cell: int) -> Size:
    """A size of about the shape (width, height), of about the area of `near`, its sides multiples of `cell`."""
    width, height = sides(near)
    scale = (width * height / (shape[0] * shape[1])) ** 0.5
    return parse_size(tuple(max(round(side * scale / cell), 1) * cell for side in shape))


def load_picture(job: ImageJob, size: tuple[int, int]) -> Image.Image:
    """A job's picture, RGB, of this (width, height).

    It is turned as its camera says, laid on white where it is transparent, scaled until it covers the size (Lanczos),
    and what stands out is cut off, the same at both ends.

    Raises:
        AutointerpError: It cannot be read, or is not what it was when the command began.
    """
    from PIL import Image, ImageOps

    assert job.picture is not None
    path = job.picture.path
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != job.picture.sha256:
            raise AutointerpError(f"{path} was changed while it was used", "run the command again")
        picture = open_picture(data)
    except (OSError, ValueError, SyntaxError) as error:
        raise AutointerpError(
            f"the picture {path} cannot be read: {first_line(error)}", "mend it, or move it out of the folder"
        ) from None
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def open_picture(data: bytes, draft: tuple[int, int] | None = None) -> Image.Image:
    """A picture in RGB; a `draft` may be of lower resolution where that is quicker.

    Raises:
        OSError, ValueError, SyntaxError: These are no bytes of a picture, too many pixels among the reasons.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as picture:
            if draft is not None:
                picture.draft("RGB", draft)
            picture.load()
            turned = ImageOps.exif_transpose(picture)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from None
    if turned.mode.startswith("I;16") or turned.mode == "I":
        import numpy as np

        # Sixteen bits a pixel: Pillow would cut off at 255.
        turned = Image.fromarray((np.asarray(turned).clip(0, 65535) // 257).astype(np.uint8))
    if turned.has_transparency_data:
        turned = turned.convert("RGBA")
        turned = Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned)
    return turned.convert("RGB")


def _dimensions(path: Path) -> tuple[int, int]:
    """Width and height as the picture is seen, of its header; a square where that cannot be read, see `check`."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            turned = picture.getexif().get(0x0112, 1) >= 5  # EXIF orientations that lie on their side
            width, height = picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 1, 1
    return (height, width) if turned else (width, height)


def _sidecar(path: Path) -> str:
    beside = path.with_suffix(".txt")
    if not beside.is_file():
        return ""
    try:
        return " ".join(beside.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError):
        raise AutointerpError(f"the caption {beside} is not text", "write it as UTF-8, or remove it") from None


def _listed_captions(folder: Path, pictures: set[str]) -> dict[str, str]:
    """File name within the folder -> caption, of the file of captions, where there is one."""
    for name in CAPTION_FILES:
        if (folder / name).is_file():
            return dict(_read_captions(folder / name, pictures))
    return {}


def _read_captions(path: Path, pictures: set[str]) -> Iterator[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise AutointerpError(f"{path} is not text", "write it as UTF-8, or remove it") from None
    write = 'write {"file_name": "a.png", "caption": "..."}'
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        entry = json_line(line, where, write)
        file = entry.get("file_name", entry.get("file"))
        caption = next((entry[key] for key in CAPTION_KEYS if entry.get(key) is not None), "")
        if not isinstance(file, str) or not isinstance(caption, str):
            raise AutointerpError(f"{where}: there is no file_name with a caption", write)
        if file not in pictures:
            raise UsageError(f"{where}: there is no picture {file!r}", nearest(file, sorted(pictures)))
        yield file, " ".join(caption.split())
