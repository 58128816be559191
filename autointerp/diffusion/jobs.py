"""Jobs: which images a run makes or reads, with which settings, and the hash that identifies each image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from autointerp.diffusion.families import ModelDefaults
from autointerp.errors import UsageError, nearest
from autointerp.sizes import Size, parse_size

PREPARATION = 2
"""Version of how pictures from files are turned and cropped. Raise it when that changes, so that results are redone."""


@dataclass(frozen=True)
class RealPicture:
    """A picture from a file, which the model reads in place of generating an image.

    Attributes:
        path: The file.
        sha256: Hash of the file's content, in hexadecimal.
        inverted: Whether the noise that leads to the picture is computed (see `inversion`); else noise is drawn.
    """

    path: Path
    sha256: str
    inverted: bool = False


@dataclass(frozen=True)
class ImageJob:
    """One image to generate, or one real picture to read.

    Attributes:
        index: The image's number in the run.
        prompt: The text; empty for a picture without a caption.
        seed: Seed of the image's noise.
        size: The image's own size; None for the size of the run.
        picture: The picture to read; None to generate an image.
        negative: The text that guidance leads away from; it needs guidance of two branches.
    """

    index: int
    prompt: str
    seed: int
    size: Size | None = None
    picture: RealPicture | None = None
    negative: str = ""

    @property
    def alike(self) -> str:
        """The key of images that look alike, by which they are split: the prompt, or the hash of a bare picture."""
        return self.prompt if self.prompt or self.picture is None else self.picture.sha256


@dataclass(frozen=True)
class GenerationSettings:
    """Settings of a generation; `size` holds for images whose job has no size of its own."""

    steps: int
    guidance: float
    size: Size
    max_sequence_length: int

    def of(self, job: ImageJob) -> GenerationSettings:
        """Return the settings of one image, with the image's own size."""
        return self if job.size in (None, self.size) else replace(self, size=parse_size(job.size))

    @classmethod
    def resolve(cls, defaults: ModelDefaults, overrides: Mapping[str, Any] | None = None) -> GenerationSettings:
        """Put the given values over the model's defaults; a value of None keeps the default.

        Raises:
            UsageError: A key is unknown, or a value is out of range.
        """
        known = [f.name for f in fields(cls)]
        values = {name: getattr(defaults, name) for name in known}
        for key, value in (overrides or {}).items():
            if key not in known:
                raise UsageError(f"there is no generation setting {key!r}", nearest(key, known))
            if value is not None:
                values[key] = value
        values["size"] = parse_size(values["size"])
        for key in ("steps", "max_sequence_length"):
            if type(values[key]) is not int or values[key] < 1:
                raise UsageError(f"{key} is {values[key]!r}", "give a whole number above 0")
        try:
            values["guidance"] = float(values["guidance"])
        except (TypeError, ValueError):
            raise UsageError(f"guidance is {values['guidance']!r}", "give a number") from None
        if not 0 <= values["guidance"] <= 100:
            raise UsageError(f"guidance is {values['guidance']:g}", "give a number from 0 to 100")
        return cls(**values)


def generation_hash(name: str, revision: str, job: ImageJob, settings: GenerationSettings) -> str:
    """Return the hash that identifies an image: equal hashes mean equal pictures, up to floating-point noise.

    Args:
        name: The model's name.
        revision: The revision of the model's weights.
        job: The image. Its number in the run and the path of its picture do not count.
        settings: Settings of the run.
    """
    made_of = [name, revision, job.prompt, job.seed, asdict(settings.of(job))]
    if job.picture is not None:
        about = {"picture": job.picture.sha256, "inverted": job.picture.inverted, "preparation": PREPARATION}
        made_of.append(about)
    if job.negative:
        made_of.append({"negative": job.negative})
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def check_capture_steps(capture_steps: Collection[int], steps: int) -> tuple[int, ...]:
    """Return the steps, sorted and without repetition.

    Raises:
        UsageError: A step is not among the generation's steps.
    """
    for step in capture_steps:
        if not 0 <= step < steps:
            raise UsageError(f"step {step} is not among the {steps} steps", f"give numbers from 0 to {steps - 1}")
    return tuple(sorted(set(capture_steps)))


def batched(jobs: Iterable[ImageJob], batch_size: int) -> Iterator[list[ImageJob]]:
    """Cut jobs, in their order, into lists of `batch_size` of one size and kind.

    A list ends early where the size changes, or where generated images follow real pictures. Where the lists begin
    depends on the jobs alone, so a run that resumes at the beginning of a list has the same lists from there on.
    """
    for _, alike in groupby(jobs, lambda job: (job.size, job.picture and job.picture.inverted)):
        while batch := list(islice(alike, batch_size)):
            yield batch
