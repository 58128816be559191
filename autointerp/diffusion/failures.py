"""Errors of the libraries that load a model, as one line that says what failed and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError
from autointerp.hub import causes, first_line, refusal

if TYPE_CHECKING:
    from autointerp.diffusion.description import ModelDescription

_SIGNS = (
    r"No module named '([\w.]+)'",
    r"No package metadata was found for ([\w.-]+)",
    r"pip install (?:-U |--upgrade )?[`'\"]?([A-Za-z][\w-]*)",
    r"requires (?:the )?`?([A-Za-z][\w-]*)`?(?: library| to be installed| package)",
)
"""How libraries say which other one they lack, the surest first."""
_PACKAGES = {"google": "protobuf", "cv2": "opencv-python", "PIL": "pillow", "sklearn": "scikit-learn"}
_PACKAGES |= {"bs4": "beautifulsoup4", "optimum": "optimum-quanto", "SentencePiece": "sentencepiece"}
"""Packages whose name is not that of their module."""
_NO_TOKENIZER = "Converting from SentencePiece and Tiktoken failed"


def missing_library(name: str, error: BaseException) -> AutointerpError | None:
    """Return the error for a library that is not installed, or not whole; None where another thing failed.

    Libraries wrap these errors in their own, so search all causes of the error.

    Args:
        name: The model's name.
        error: What was raised.
    """
    every = list(causes(error))
    text = "\n".join(str(cause) for cause in every)
    imports = [cause for cause in every if isinstance(cause, ImportError)]
    if not imports and _NO_TOKENIZER not in text and "pip install" not in text:
        return None
    # The first cause knows best: after it, libraries try others, and then complain of the last one.
    signs = [re.search(sign, str(cause)) for cause in reversed(every) for sign in _SIGNS]
    found = next((match[1] for match in signs if match), None)
    if found is None and _NO_TOKENIZER in text:
        return AutointerpError(
            f"the model {name!r} has a tokenizer that no installed library reads", "pip install sentencepiece tiktoken"
        )
    found = found or next((cause.name for cause in imports if cause.name), None)
    if found is None or "cannot import name" in text:
        return AutointerpError(
            f"the model {name!r} needs a library that is not here in this version: {first_line(imports[-1])}"
            if imports
            else f"the model {name!r} needs another library: {first_line(error)}",
            "install the version that the error names, or those in constraints.txt",
        )
    package = _PACKAGES.get(found.partition(".")[0], found.partition(".")[0])
    return needs_library(name, package)


def needs_library(name: str, package: str) -> AutointerpError:
    """Return the error for a package that a model needs."""
    return AutointerpError(f"the model {name!r} needs the library {package}", f"pip install {package}")


def is_installed(package: str) -> bool:
    """Whether a package is installed, and whole: a folder may be left of one that was removed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def explained(error: Exception, description: ModelDescription) -> AutointerpError:
    """Turn an error of a library into one that says what failed and what to do."""
    name, variant = description.name, description.loading.variant
    if description.commit is not None:
        local, repo = description.loading.local_files_only, description.config or description.source
        if known := refusal(error, repo, revision=description.commit, local_files_only=local):
            return known
    if (library := missing_library(name, error)) is not None:
        return library
    if type(error).__name__ == "SafetensorError":
        return AutointerpError(f"the weights of {name!r} are damaged: {first_line(error)}", "fetch the model again")
    if type(error).__name__ == "SingleFileComponentError":
        return AutointerpError(
            f"the checkpoint {name!r} is not whole: {first_line(error)}", "give a whole one, or a pipeline's folder"
        )
    if variant is not None and "variant" in str(error):
        return AutointerpError(
            f"the model {name!r} has no weights of the variant {variant!r}",
            "leave out loading.variant, or name one that its files have",
        )
    return AutointerpError(
        f"the model {name!r} cannot be loaded: {first_line(error)}",
        "check that its files are complete, or fetch it again",
    )
