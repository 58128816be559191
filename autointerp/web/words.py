"""Texts on their way to a page: figures in few digits, and messages without the paths of this machine."""

from __future__ import annotations

import re
from pathlib import Path

from autointerp.export.gallery import visible

_PATH = re.compile(r"(?<![\w:/.<])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\:;,'\"<>()`]+)+[/\\]?")


def public(text: str, workspace: Path) -> str:
    """Return a message for people elsewhere: of a path only the last name is left, and the workspace is called so.

    >>> public("no index at /home/me/w/indexes/x.faiss", Path("/home/me/w"))
    'no index at x.faiss'
    """
    for own in dict.fromkeys((str(workspace), str(workspace.absolute()), str(workspace.resolve()))):
        if len(own) > 1:
            text = re.sub(rf"{re.escape(own)}(?![\w/\\.-])", "the workspace", text)
    text = text.replace("file:///", "/")
    return _PATH.sub(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1] or found[0], visible(text))


def model_name(model: str) -> str:
    """Return the name of a model; of one in a folder the folder's name alone.

    >>> model_name("/data/models/sdxl"), model_name("stabilityai/sdxl-turbo")
    ('sdxl', 'stabilityai/sdxl-turbo')
    """
    return Path(model).name if model.startswith(("/", "~", ".")) or "\\" in model else model


def percent(share: float) -> str:
    """Return a share as per cent in few digits.

    >>> percent(0), percent(0.00001), percent(0.0123), percent(0.5)
    ('0%', '<0.01%', '1.2%', '50.0%')
    """
    if share == 0:
        return "0%"
    if share < 0.0001:
        return "<0.01%"
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.1f}%"


def figure(value: float | None) -> str:
    """Return a score in two digits; a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"


def short(value: float) -> str:
    """Return a number in three digits.

    >>> short(12.3456), short(0.5)
    ('12.3', '0.5')
    """
    return f"{value:.3g}"


def thousands(value: int) -> str:
    """Return a count with commas."""
    return f"{value:,}"


def money(dollars: float) -> str:
    """Return dollars; cents where there are few.

    >>> money(0), money(0.004), money(12.5)
    ('$0', '<$0.01', '$12.50')
    """
    if dollars == 0:
        return "$0"
    return "<$0.01" if dollars < 0.01 else f"${dollars:,.2f}"
