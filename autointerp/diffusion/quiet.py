"""Silence libraries: stderr is for the project's own progress."""

from __future__ import annotations

import logging


def hush() -> None:
    """Silence the progress bars and warnings of the libraries that load and run models."""
    # They warn of kernels for other machines, where torchao is installed.
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It logs all that does not fit of a LoRA, and then raises it.
    logging.getLogger("diffusers.loaders.peft").setLevel(logging.CRITICAL)
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    for library in (transformers_logging, diffusers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
