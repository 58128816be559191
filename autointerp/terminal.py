"""Pictures in terminals that can show them: kitty, iTerm2 and whatever speaks sixel, through `textual-image`.

It belongs to the extra `terminal`. Without it, and where stdout is no terminal or one that only knows letters, nothing
is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

_LINES = 4
"""Height of a strip of crops, in lines of text."""


def picture_printer() -> Callable[[Image.Image], None] | None:
    """What prints a picture on stdout, a few lines high; None where that cannot be done."""
    if not sys.stdout.isatty():
        return None
    try:
        # At import it asks the terminal what it can, so it is not imported for anything else.
        from textual_image import renderable
    except ImportError:
        return None
    kind: Any = renderable.Image
    if kind not in (renderable.SixelImage, renderable.TGPImage):
        return None
    from rich.console import Console

    console = Console()

    def show(picture: Image.Image) -> None:
        console.print(kind(picture, width="auto", height=_LINES))

    return show
