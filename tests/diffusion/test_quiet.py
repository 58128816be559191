"""Libraries say nothing on stderr."""

from __future__ import annotations

import logging

from autointerp.diffusion.quiet import hush


def test_libraries_are_silent(capfd) -> None:
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    hush()
    for library in (diffusers_logging, transformers_logging):
        library.get_logger(f"{library.__name__.partition('.')[0]}.test").warning("noise")
        assert library.get_verbosity() == logging.ERROR
    assert "noise" not in capfd.readouterr().err
