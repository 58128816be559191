"""Files of edit cases with the fields of RIEBench (arXiv 2410.22366), in both forms that its authors published.

A case has the prompts of both pictures, in which brackets may mark what differs, and the phrases of what is to go and
what is to come. A phrase may begin with `~`, which means everything else, may be `#everything`, and may list several
things between commas. Beside RIEBench's own fields a case may have a `seed`, and a `mask`: a picture that is bright
where the change is to happen, in place of cells that are found by the phrases.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from autointerp.diffusion.sources.protocol import HELD_OUT_SEEDS
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.text_files import read_text
from autointerp.worlds import EditCase

KINDS = {
    "1": "change object",
    "2": "add object",
    "3": "delete object",
    "4": "change content",
    "5": "change pose",
    "6": "change color",
    "7": "change material",
    "8": "change background",
    "9": "change style",
}
"""Kinds of edits by the number of RIEBench's `editing_type_id`."""
ADD, DELETE = KINDS["2"], KINDS["3"]
EVERYTHING = "#everything"
_SEEDS = HELD_OUT_SEEDS + 7_000_000
"""The first seed of cases without one of their own."""


class _Row(BaseModel):
    """A case as a file has it."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    id: str
    editing_type_id: str
    original_prompt: str
    editing_prompt: str
    editing_instruction: str = ""
    source: str = Field("", validation_alias=AliasChoices("original_gsam_prompt", "edit_source"))
    target: str = Field("", validation_alias=AliasChoices("editing_gsam_prompt", "edit_target"))
    is_good: bool = True
    corrections: str = ""
    seed: int | None = None
    mask: Path | None = None


_FIELDS = (
    *(name for name in _Row.model_fields if name not in ("source", "target")),
    *("original_gsam_prompt", "editing_gsam_prompt", "edit_source", "edit_target"),
)


@dataclass(frozen=True)
class CaseFile:
    """The cases of a file.

    Attributes:
        path: The file.
        rows: The cases, whose seed is -1 where the file gives none; kinds take turns.
        masks: Case's key -> the file of its mask.
        notes: What was left out.
    """

    path: Path
    rows: tuple[EditCase, ...]
    masks: dict[str, Path]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> CaseFile:
        """Read a file: a JSON list of cases, or a case a line.

        Raises:
            AutointerpError: It cannot be read, or is no JSON.
            UsageError: A case has an unknown field, lacks one, or repeats another; or no case is left.
        """
        found: dict[str, EditCase] = {}
        masks: dict[str, Path] = {}
        bad = same = 0
        for number, raw in enumerate(_objects(path), 1):
            row = _checked(raw, f"{path}, case {number}")
            if row.id in found:
                raise UsageError(f"{path}: two cases have the id {row.id}", "give each its own")
            source, target = (_plain(text) for text in (row.original_prompt, row.editing_prompt))
            if not row.is_good or source == target:
                bad, same = bad + (not row.is_good), same + (row.is_good and source == target)
                continue
            found[row.id] = EditCase(
                key=row.id,
                kind=KINDS[row.editing_type_id],
                source=source,
                target=target,
                seed=-1 if row.seed is None else row.seed,
                source_phrase=row.source.strip(),
                target_phrase=row.target.strip(),
                instruction=row.editing_instruction or f"{source} -> {target}",
            )
            if row.mask is not None:
                masks[row.id] = path.parent / row.mask
        if not found:
            raise UsageError(f"{path} has no case", "give cases with the fields of RIEBench")
        notes = [f"{bad} cases of {path} are marked as not good"] if bad else []
        notes += [f"{same} cases of {path} have one prompt for both pictures"] if same else []
        return cls(path, _by_turns(list(found.values())), masks, tuple(f"{note}, and are left out" for note in notes))

    def cases(self, seed: int) -> list[EditCase]:
        """Return the cases, with seeds that follow from a seed where the file gives none."""
        own = [_SEEDS + 1000 * seed + number for number in range(len(self.rows))]
        return [replace(case, seed=n) if case.seed < 0 else case for case, n in zip(self.rows, own, strict=True)]

    def masks_hash(self) -> str:
        """Return a hash of the masks' contents.

        Raises:
            AutointerpError: A mask cannot be read.
        """
        total = sha256()
        for key, mask in sorted(self.masks.items()):
            try:
                total.update(key.encode() + sha256(mask.read_bytes()).digest())
            except OSError as error:
                raise AutointerpError(
                    f"{self.path}, case {key}: the mask {mask} cannot be read: {error.strerror}",
                    "give paths that lie beside the file",
                ) from None
        return total.hexdigest()


def phrases_of(text: str) -> list[str]:
    """Return the single phrases of a phrase as the file writes it.

    >>> phrases_of("~chain, star"), phrases_of("#everything")
    (['chain', 'star'], [])
    """
    if text == EVERYTHING:
        return []
    return [part.strip() for part in text.removeprefix("~").split(",") if part.strip()]


def _objects(path: Path) -> list[Any]:
    """Return the values of a JSON list, or of a file of lines."""
    try:
        text = read_text(path)
    except OSError as error:
        raise AutointerpError(f"{path} cannot be read: {error.strerror}", "name a file of cases") from None
    try:
        if text.lstrip().startswith("["):
            return list(json.loads(text))
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise AutointerpError(
            f"{path} is no JSON: {error.msg} (line {error.lineno})", "give a list of cases, or a case a line"
        ) from None


def _checked(raw: Any, where: str) -> _Row:
    """Return a case of a file.

    Raises:
        UsageError: Its fields are not those of a case.
    """
    if not isinstance(raw, dict):
        raise UsageError(f"{where} is no object with fields", f"fields are {', '.join(_FIELDS)}")
    try:
        row = _Row.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UsageError(f"{where} has an unknown field {name!r}", nearest(name, _FIELDS)) from None
        if first["type"] == "missing":
            raise UsageError(f"{where} has no field {name!r}", f"fields are {', '.join(_FIELDS)}") from None
        raise UsageError(f"{where}: {name} is {first.get('input')!r}", first["msg"].lower()) from None
    if row.editing_type_id not in KINDS:
        known = ", ".join(f"{number} ({name})" for number, name in KINDS.items())
        raise UsageError(f"{where}: editing_type_id is {row.editing_type_id!r}", f"kinds are {known}")
    return row


def _plain(prompt: str) -> str:
    """Return a prompt without the brackets around what differs."""
    return " ".join(prompt.replace("[", "").replace("]", "").split())


def _by_turns(cases: list[EditCase]) -> tuple[EditCase, ...]:
    """Order cases so that their kinds take turns."""
    kinds = dict.fromkeys(case.kind for case in cases)
    columns = zip_longest(*([case for case in cases if case.kind == kind] for kind in kinds))
    return tuple(case for case in chain.from_iterable(columns) if case is not None)
