"""What the hub refuses is one line with the next step, the same wherever it is asked; and offline means offline."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.errors import AutointerpError, UsageError
from autointerp.export.fetch import fetched
from autointerp.hub import asking, hub_answers, newest_commit, refusal
from autointerp.search.embedders import load_embedder


@pytest.fixture(autouse=True)
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub whose name resolves, and which is never asked for real."""
    from huggingface_hub import constants

    asked: list[str] = []

    def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return asked


def error_of(name: str, status: int = 404) -> Exception:
    """An error of the hub's client by its class, whatever the client's version builds it from."""
    from huggingface_hub import errors

    kind = getattr(errors, name)
    error: Exception = kind.__new__(kind)
    Exception.__init__(error, "no\nmore")
    if issubclass(kind, errors.HfHubHTTPError):
        error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


def says(error: AutointerpError, *words: str) -> None:
    assert "\n" not in str(error)
    for word in words:
        assert word in str(error), str(error)


PAGE = "accept its terms at https://huggingface.co/owner/name"


@pytest.mark.parametrize(
    ("error", "status", "token", "words"),
    [
        ("GatedRepoError", 401, None, ["gated, and there is no token", PAGE, "set HF_TOKEN"]),
        ("GatedRepoError", 403, "t", ["the account of the token has no access", PAGE, "HF_TOKEN"]),
        ("RepositoryNotFoundError", 404, None, ["there is no model 'owner/name'", "a private one needs a token"]),
        ("RepositoryNotFoundError", 404, "t", ["there is no model 'owner/name'", "token may not see it"]),
        ("RevisionNotFoundError", 404, None, ["has no revision 'old'"]),
        ("RemoteEntryNotFoundError", 404, None, ["is no pipeline", "model_index.json"]),
        ("LocalEntryNotFoundError", 0, None, ["not wholly on this machine", "the hub does not answer"]),
        ("DisabledRepoError", 403, None, ["was disabled"]),
        ("HfHubHTTPError", 401, "t", ["does not accept the token", "HF_TOKEN"]),
        ("HfHubHTTPError", 503, None, ["cannot be reached: no", "try again"]),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, error: str, status: int, token: str | None, words: list[str]
) -> None:
    import huggingface_hub

    def refuse(*args: Any, **kwargs: Any) -> str:
        raise error_of(error, status)

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(AutointerpError) as raised:
        describe_model("owner/name", "old")
    says(raised.value, *words)


def test_dictionaries_and_embedders_are_refused_in_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    import transformers

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise error_of("GatedRepoError", 401)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            refuse()
        except Exception as error:
            raise OSError("a long\nstory") from error

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", refuse)
    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", wrapped)
    with pytest.raises(AutointerpError) as raised:
        fetched("hf:owner/name")
    says(raised.value, "the dictionary 'owner/name' is gated", PAGE, "HF_TOKEN")
    with pytest.raises(AutointerpError) as raised:
        load_embedder("owner/name")
    says(raised.value, "the embedder 'owner/name' is gated", PAGE, "shapes-clip")


@pytest.mark.parametrize("why", ["HF_HUB_OFFLINE", "loading.local_files_only", "the hub does not answer"])
def test_offline_nothing_is_asked_and_the_reason_is_named(
    monkeypatch: pytest.MonkeyPatch, reached: list[str], why: str
) -> None:
    import huggingface_hub
    import transformers
    from huggingface_hub import constants

    given: list[Any] = []

    def not_here(*args: Any, **kwargs: Any) -> str:
        given.append(kwargs["local_files_only"])
        raise error_of("LocalEntryNotFoundError")

    def unresolved(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror("no such host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", not_here)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", not_here)
    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", not_here)
    local = why == "loading.local_files_only"
    if why == "HF_HUB_OFFLINE":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif not local:
        monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    for ask in (
        lambda: describe_model("owner/name", loading=LoadingSettings(local_files_only=local)),
        lambda: fetched("hf:owner/name", local),
        lambda: load_embedder("owner/name", local_files_only=local),
    ):
        with pytest.raises(AutointerpError) as raised:
            ask()
        says(raised.value, "'owner/name' is not wholly on this machine", why, "copy the cache")
    assert given == [True, True, True]
    assert reached == []


def test_a_proxy_resolves_names(monkeypatch: pytest.MonkeyPatch, reached: list[str]) -> None:
    assert hub_answers()
    assert reached == ["huggingface.co"]
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    assert hub_answers()
    assert reached == ["huggingface.co"]
    assert not hub_answers(local_files_only=True)


def test_any_other_failure_is_a_line_that_may_be_tried_again() -> None:
    with pytest.raises(AutointerpError) as raised, asking("owner/name"):
        raise ConnectionError("reset\nby peer")
    says(raised.value, "cannot be reached: reset", "try again")
    assert raised.value.retryable
    with pytest.raises(UsageError, match="mine"), asking("owner/name"):
        raise UsageError("mine")
    assert refusal(ValueError("not the hub's"), "owner/name") is None


def test_the_page_of_a_gated_data_set_is_that_of_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    from autointerp.diffusion.sources.prompts import load_prompts

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise error_of("GatedRepoError", 403)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    with pytest.raises(AutointerpError, match=r"'owner/name' is gated.*https://huggingface\.co/datasets/owner/name"):
        load_prompts("datasets:owner/name")


def test_the_newest_commit_is_the_hubs_else_that_of_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    from autointerp import hub

    monkeypatch.setattr(hub, "cached_commit", lambda repo: "of the download")
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, repo: SimpleNamespace(sha="of the hub"))
    assert newest_commit("owner/name") == "of the hub"
    assert newest_commit("owner/name", local_files_only=True) == "of the download"

    def refuse(self: Any, repo: str) -> Any:
        raise error_of("GatedRepoError", 401)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(AutointerpError) as raised:
        newest_commit("owner/name", "vision-language model")
    says(raised.value, "the vision-language model 'owner/name' is gated", PAGE)
