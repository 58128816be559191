"""Loading models of transformers that find segments: every refusal is one line with the next step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autointerp.errors import AutointerpError
from autointerp.files import sha256_of
from autointerp.hub import hub_answers, refusal

_SETTING = "name a folder or a hub id in the table [grounding] of the settings"


@contextmanager
def loading(name: str, what: str, kinds: Sequence[str], local_files_only: bool) -> Iterator[dict[str, Any]]:
    """Load a model inside; yield the arguments that say where it is looked for.

    Args:
        name: A folder or a hub id.
        what: The setting that names it, `detector` or `segmenter`.
        kinds: Model types that it may be of.
        local_files_only: Whether the hub is never asked.

    Raises:
        AutointerpError: It is not there, cannot be fetched, or is of another type.
    """
    from transformers import AutoConfig
    from transformers.utils import logging

    # Its progress bars would be printed in quiet commands too.
    logging.disable_progress_bar()
    # Without a network the hub's client would try again for half a minute.
    where = {} if Path(name).is_dir() else {"local_files_only": not hub_answers(local_files_only)}
    try:
        kind = AutoConfig.from_pretrained(name, **where).model_type
        if kind in kinds:
            yield where
            return
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError, TypeError) as error:
        known = refusal(error, name, what, local_files_only=local_files_only)
        if known is not None:
            hint = f"{known.hint}; or {_SETTING} ({what})"
            raise AutointerpError(known.message, hint, retryable=known.retryable) from error
        reason = " ".join(str(error).split())[:200]
        raise AutointerpError(f"cannot load the {what} {name!r}: {reason}", f"{_SETTING} ({what})") from error
    raise AutointerpError(
        f"{name} is a {kind}, which is no {what} that is known", f"{_SETTING} ({what}): {' or '.join(kinds)}"
    )


def commit_of(name: str, model: Any) -> str:
    """Return what tells a model's weights: a digest of those of a folder, else the hub's commit."""
    folder = Path(name)
    if folder.is_dir():
        return sha256_of(*sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]))[:12]
    return str(model.config._commit_hash)[:12]
