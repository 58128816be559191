"""Prompt files: what a VLM is told, as Jinja templates that are versioned by their hash.

A folder of the caller's own may override single files of the shipped ones; such a file is tried when it is loaded, so
that a mistake in it is told before anyone is asked. Nothing a VLM once said, and no text of a prompt, is ever run as a
template: they are values only, in a sandbox.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError, nearest

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment


ENDING = ".md.j2"
_EXAMPLES: dict[str, object] = {"count": 2, "marked": True, "context": True, "negatives": True}
"""Values that are no text, to try a file with."""


@dataclass(frozen=True)
class PromptFile:
    """A prompt file's name, source, and hash."""

    name: str
    source: str

    @property
    def hash(self) -> str:
        """SHA-256 of the source, in hex."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    def render(self, **values: object) -> str:
        """Fill the template.

        Raises:
            AutointerpError: the template is wrong or asks for a value that it is not given.
        """
        from jinja2 import TemplateError

        try:
            return _environment().from_string(self.source).render(**values).strip()
        except TemplateError as error:
            raise AutointerpError(
                f"the prompt file {self.name} cannot be filled: {error}", "correct the file"
            ) from error


def load_prompt(name: str, folder: Path | None = None) -> PromptFile:
    """Load a prompt file by its file name, from `folder` where it is there, else from the package.

    Raises:
        AutointerpError: the file cannot be read or filled, or the folder has one of a name that is not known.
    """
    shipped = files("autointerp").joinpath("prompts")
    original = PromptFile(name, shipped.joinpath(name).read_text(encoding="utf-8"))
    if folder is None or not folder.is_dir():
        return original
    known = sorted(path.name for path in shipped.iterdir() if path.name.endswith(ENDING))
    for path in sorted(folder.glob(f"*{ENDING}")):
        if path.name not in known:
            raise AutointerpError(f"{path} takes the place of no prompt file", nearest(path.name, known))
    own = folder / name
    if not own.exists():
        return original
    try:
        found = PromptFile(name, own.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise AutointerpError(f"cannot read the prompt file {own}", str(error)) from error
    wrong = _what_is_wrong(found, original)
    if wrong:
        raise AutointerpError(
            f"the prompt file {own} cannot be used: {wrong}", "correct it, or delete it to use the shipped one"
        )
    return found


def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _what_is_wrong(own: PromptFile, original: PromptFile) -> str:
    """Why a file cannot take the original's place, in one line; empty where it can."""
    from jinja2 import TemplateSyntaxError, meta

    environment = _environment()
    given = meta.find_undeclared_variables(environment.parse(original.source))
    try:
        asked = meta.find_undeclared_variables(environment.parse(own.source))
        if unknown := sorted(asked - given):
            return f"it asks for {unknown[0]!r}, which it is not given ({nearest(unknown[0], sorted(given))})"
        if not own.render(**{name: _EXAMPLES.get(name, "words") for name in given}):
            return "it is empty"
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {' '.join(str(error.message).split())}"
    except Exception as error:
        # A template may fail in as many ways as a program.
        said = error.__cause__ if isinstance(error, AutointerpError) else error
        return " ".join(f"{type(said).__name__}: {said}".split())
    return ""


def hash_of(prompts: Sequence[PromptFile]) -> str:
    """One hash, 16 hex digits, over several prompt files."""
    return hashlib.sha256("".join(p.hash for p in prompts).encode()).hexdigest()[:16]
