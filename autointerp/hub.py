"""The Hugging Face hub: whether it may and can be asked, and one line for whatever it answers.

Everything that fetches (models, embedders, dictionaries, data sets) goes through here, so that the same refusal reads
the same everywhere. The hub's own client is imported when it is needed.
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
"""What a repository of data holds; its page is another than that of a model."""


def why_not(local_files_only: bool = False) -> str | None:
    """Why the hub is not asked, as a clause; None where it is.

    Without this question its client would try again for half a minute where there is no network.

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


def hub_answers(local_files_only: bool = False) -> bool:
    """Whether the hub may be asked, and there is a way to it."""
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
    """What an error of the hub's client means for a person; None where no such error lies behind it.

    Libraries wrap those errors in their own, so all that led to it is looked through.

    Args:
        error: What was raised.
        repo: The repository that was asked for.
        what: What it should hold, as a noun.
        revision: The revision that was asked for.
        local_files_only: Whether the settings forbid to ask the hub.
        absent: Message and hint where the repository has no such file.
    """
    from huggingface_hub import errors

    def found(*kinds: type[BaseException]) -> BaseException | None:
        return next((cause for cause in _causes(error) if isinstance(cause, kinds)), None)

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
    """Ask the hub inside: whatever goes wrong is one line.

    Args:
        repo: The repository.
        what: What it should hold, as a noun.
        known: As `refusal` takes it.

    Raises:
        AutointerpError: Anything was raised inside.
    """
    try:
        yield
    except AutointerpError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the network does, the person gets one line
        meant = refusal(error, repo, what, **known)  # type: ignore[arg-type]
        raise meant or _trouble(f"the {what} {repo!r}", error) from error


def cached_files(folder: Path) -> Path | None:
    """Where the files lie that a snapshot in the hub's cache links to; None for a folder that is no part of one."""
    from huggingface_hub import constants

    cache, whole = Path(constants.HF_HUB_CACHE).resolve(), folder.resolve()
    if not whole.is_relative_to(cache):
        return None
    parts = whole.relative_to(cache).parts
    return cache / parts[0] / "blobs" if parts[1:2] == ("snapshots",) else None


def upload(path: Path, repo: str, message: str, private: bool = False) -> str:
    """Put a folder, or a file, into a repository of models, which is made if there is none; returns its page.

    Args:
        path: What is uploaded; the files of a folder lie at the top of the repository.
        repo: OWNER/NAME.
        message: Of the commit.
        private: A repository that is made can be seen by its owner alone.

    Raises:
        UsageError: The name cannot be that of a repository.
        AutointerpError: The hub is not to be asked, does not answer, or refuses.
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
    """The first line of what an error says, cut to what fits into one."""
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:200] if lines else type(error).__name__


def _gated(named: str, page: str) -> AutointerpError:
    """A gate opens to an account on its page: without a token the hub does not know whose request it is."""
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
    """The hub hides private repositories from who may not see them."""
    from huggingface_hub import get_token

    private = f"a private one needs a token in {TOKEN}" if get_token() is None else "or the token may not see it"
    return AutointerpError(f"there is no {what} {repo!r}, neither here nor on the hub", f"check the name; {private}")


def _trouble(named: str, error: BaseException) -> AutointerpError:
    return AutointerpError(f"{named} cannot be reached: {first_line(error)}", "try again", retryable=True)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that led to it, the last one first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
