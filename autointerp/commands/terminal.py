"""Pictures in terminals that can show them: kitty, iTerm2 and terminals with sixel graphics.

The library `textual-image` draws them; it belongs to the extra `terminal`. Nothing is drawn without the library, or
where stdout is not a terminal with graphics.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autointerp.progress import draws

if TYPE_CHECKING:
    from PIL import Image

_LINES = 4
"""Height of a strip of crops, in lines of text."""


def picture_printer() -> Callable[[Image.Image], None] | None:
    """Return a function that prints a picture on stdout, a few lines high; None where the terminal has no graphics."""
    if not (sys.stdout.isatty() and draws()):
        return None
    try:
        # Importing this library sends a query to the terminal, so it is imported only to show a picture.
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
