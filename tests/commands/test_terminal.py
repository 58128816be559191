from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from autointerp.commands.terminal import picture_printer


def test_pictures_are_shown_where_a_terminal_can(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from textual_image import renderable

    monkeypatch.setenv("TERM", "xterm")
    assert picture_printer() is None  # no terminal
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for kind, shown in ((renderable.HalfcellImage, False), (renderable.SixelImage, True), (renderable.TGPImage, True)):
        monkeypatch.setattr(renderable, "Image", kind)
        assert (picture_printer() is not None) == shown
        with monkeypatch.context() as dumb:
            dumb.setenv("TERM", "dumb")
            assert picture_printer() is None
    monkeypatch.setattr(renderable, "Image", renderable.SixelImage)
    show = picture_printer()
    assert show is not None
    show(Image.new("RGB", (40, 20), "red"))
    assert "\x1bP" in capsys.readouterr().out  # sixel's beginning
    monkeypatch.setitem(sys.modules, "textual_image", SimpleNamespace())
    assert picture_printer() is None
