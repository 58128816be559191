"""The Hugging Face hub: whether it may and can be asked, and one line for each of its refusals.

All downloads (models, embedders, dictionaries, data sets) use this module, so that the same refusal reads the same
everywhere. The hub's own client is imported on use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autointerp.errors import AutointerpError, UsageError

TOKEN = "HF_TOKEN"
"""The variable that the hub's client reads a token from."""
PAGE = "https://huggingface.co"
DATA_SET = "data set"
"""The noun for a repository of data, whose page has another address than a model's."""
VISION_LANGUAGE_MODEL = "vision-language model"


def why_not(local_files_only: bool = False) -> str | None:
    """Return the reason not to ask the hub, as a clause; None where it can be asked.

    Check this first: without a network, the hub's client would retry for half a minute.

    Args:
        local_files_only: The setting `loading.local_files_only`.
    """
    import socket
    from urllib.parse import urlsplit

    from huggingface_hub import constants

    if local_files_only:
        return "loading.local_files_only is set"
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return None  # The proxy resolves names.
    address = urlsplit(constants.ENDPOINT)
    try:
        socket.getaddrinfo(address.hostname, address.port or 443)
    except OSError:
        return "the hub does not answer"
    return None


def cached_commit(repo: str) -> str | None:
    """Return the commit of a model's newest download; None where it was not downloaded. Asks no network."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repo, "config.json")
    except HFValidationError:
        return None
    return Path(config).parent.name if isinstance(config, str) else None


def newest_commit(repo: str, what: str = "model", local_files_only: bool = False) -> str | None:
    """Return the commit that the hub's main branch has, or that of the newest download where the hub is not asked.

    Args:
        repo: The repository.
        what: A noun for its content.
        local_files_only: The setting `loading.local_files_only`.

    Returns:
        The commit; None where the hub is not asked and nothing was downloaded.

    Raises:
        AutointerpError: The hub refuses the repository.
    """
    if not hub_answers(local_files_only):
        return cached_commit(repo)
    from huggingface_hub import HfApi

    with asking(repo, what):
        return HfApi().model_info(repo).sha


def hub_answers(local_files_only: bool = False) -> bool:
    """Whether the hub may be asked and can be reached."""
    return why_not(local_files_only) is None


def refusal(
    error: BaseException,
    repo: str,
    what: str = "model",
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    absent: tuple[str, str] = ("lacks a file that is needed", "check the name on the hub"),
) -> AutointerpError | None:
    """Turn an error of the hub's client into one that says what to do; None where the hub did not cause the error.

    Libraries wrap these errors in their own, so search all causes of the error.

    Args:
        error: The error.
        repo: The repository that was requested.
        what: A noun for its content.
        revision: The revision that was requested.
        local_files_only: Whether the settings forbid requests to the hub.
        absent: Message and hint for a repository that lacks the file.
    """
    from huggingface_hub import errors

    def found(*kinds: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes(error) if isinstance(cause, kinds)), None)

    named = f"the {what} {repo!r}"
    if found(errors.GatedRepoError):
        return _gated(named, f"{PAGE}/datasets/{repo}" if what == DATA_SET else f"{PAGE}/{repo}")
    if found(errors.DisabledRepoError):
        return AutointerpError(f"{named} was disabled on the hub", "name another one")
    if found(errors.RevisionNotFoundError):
        return AutointerpError(f"{named} has no revision {revision!r}", "check the revision")
    if found(errors.RepositoryNotFoundError):
        return _not_found(repo, what)
    status = getattr(getattr(found(errors.HfHubHTTPError), "response", None), "status_code", None)
    if status in (401, 403):
        return AutointerpError(
            f"the hub refuses {named}: it does not accept the token", f"put one that is valid into {TOKEN}"
        )
    if found(errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        reason = why_not(local_files_only) or "the hub does not answer"
        unset = "" if reason.startswith("the hub") else "unset that, or "
        return AutointerpError(
            f"{named} is not wholly on this machine, and {reason}",
            f"check the name; {unset}fetch it where there is a network and copy the cache",
            retryable=True,
        )
    if found(errors.EntryNotFoundError):
        return AutointerpError(f"{named} {absent[0]}", absent[1])
    if found(errors.HFValidationError):
        return UsageError(f"{repo!r} is neither a path on this machine nor a hub id", "write a hub id as owner/name")
    if (other := found(errors.HfHubHTTPError)) is not None:
        return _trouble(named, other)
    return None


@contextmanager
def asking(repo: str, what: str = "model", **known: object) -> Iterator[None]:
    """Ask the hub inside, and turn any error into one line.

    Args:
        repo: The repository.
        what: A noun for its content.
        known: Further arguments of `refusal`.

    Raises:
        AutointerpError: An error was raised inside.
    """
    try:
        yield
    except AutointerpError:
        raise
    except Exception as error:  # noqa: BLE001 - each failure of the network is reported in one line
        meant = refusal(error, repo, what, **known)  # type: ignore[arg-type]
        raise meant or _trouble(f"the {what} {repo!r}", error) from error


def cached_files(folder: Path) -> Path | None:
    """Return the folder of the files that a snapshot in the hub's cache links to; None for any other folder."""
    from huggingface_hub import constants

    cache, whole = Path(constants.HF_HUB_CACHE).resolve(), folder.resolve()
    if not whole.is_relative_to(cache):
        return None
    parts = whole.relative_to(cache).parts
    return cache / parts[0] / "blobs" if parts[1:2] == ("snapshots",) else None


def upload(path: Path, repo: str, message: str, private: bool = False) -> str:
    """Upload a folder or a file to a repository of models, which is made if needed; return its page.

    Args:
        path: The folder or file; the files of a folder go to the top of the repository.
        repo: OWNER/NAME.
        message: The commit's message.
        private: Whether a new repository is visible to its owner alone.

    Raises:
        UsageError: The name is no valid name of a repository.
        AutointerpError: The hub may not be asked, does not answer, or refuses.
    """
    from huggingface_hub import HfApi, get_token

    if (reason := why_not()) is not None:
        raise AutointerpError(
            f"nothing can be uploaded to {repo!r}: {reason}", f"push {path} where the hub answers", retryable=True
        )
    if get_token() is None:
        raise UsageError("there is no token to upload with", f"put one that may write into {TOKEN}")
    with asking(repo, "repository"):
        api = HfApi()
        api.create_repo(repo, private=private, exist_ok=True)
        if path.is_dir():
            api.upload_folder(repo_id=repo, folder_path=path, commit_message=message)
        else:
            api.upload_file(repo_id=repo, path_or_fileobj=path, path_in_repo=path.name, commit_message=message)
    return f"{PAGE}/{repo}"


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's text, at most 300 characters; the second line, if the first announces it.

    >>> first_line(RuntimeError("Error(s) in loading state_dict for UNet:\n  size mismatch for to_q: 64, not 32."))
    'size mismatch for to_q: 64, not 32'
    """
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if not lines:
        return type(error).__name__
    told = lines[1] if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    return told.rstrip(".")[:300]


def _gated(named: str, page: str) -> AutointerpError:
    """Return the error for a gated repository: its terms are accepted per account, which the token identifies."""
    from huggingface_hub import get_token

    if get_token() is None:
        return AutointerpError(
            f"{named} is gated, and there is no token", f"accept its terms at {page} and set {TOKEN}"
        )
    return AutointerpError(
        f"{named} is gated, and the account of the token has no access",
        f"accept its terms at {page} as that account, with a token that may read gated repositories in {TOKEN}",
    )


def _not_found(repo: str, what: str) -> AutointerpError:
    """Return the error for a missing repository. The hub reports private repositories as missing."""
    from huggingface_hub import get_token

    private = f"a private one needs a token in {TOKEN}" if get_token() is None else "or the token may not see it"
    return AutointerpError(f"there is no {what} {repo!r}, neither here nor on the hub", f"check the name; {private}")


def _trouble(named: str, error: BaseException) -> AutointerpError:
    """Return the error for any other failure of a request."""
    return AutointerpError(f"{named} cannot be reached: {first_line(error)}", "try again", retryable=True)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Iterate over an error and its causes, the last one first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
