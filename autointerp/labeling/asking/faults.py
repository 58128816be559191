"""What a failed request means: four kinds of fault, told by the status, the codes and the words of a server's error.

Each rule is a sort of error that real servers give, and the first rule that fits decides. A new sort is a row here and
cases of the table in the tests. `signs` has the codes and words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from autointerp.errors import AutointerpError
from autointerp.labeling.asking import signs
from autointerp.labeling.asking.forms import Part, RequestForm
from autointerp.labeling.asking.said import ServerSaid, said


class FaultKind(Enum):
    """What a fault is of, and so what follows from it."""

    REQUEST = "request"
    """Of this request: it fails, and others go on."""
    FORM = "form"
    """Of the form of requests: they are asked in another form."""
    SETUP = "setup"
    """Of key, account, address, model or size: no request can succeed before a person acts."""
    MOMENT = "moment"
    """Of the moment: the request is made again after a wait."""


@dataclass(frozen=True)
class Fault:
    """Why a request failed.

    Attributes:
        kind: What it is of.
        words: What is told, with the server's own words.
        hint: What a person can do.
        status: The HTTP status; 0 where no response came.
        parts: Parts of the form that are refused, and are asked otherwise before anything else follows; none where the
            server does not say which.
        wait: Seconds for which the server wants no request; None where it does not say.
        limited: Whether the server limits the rate, and so answers other requests.
        connection: Whether nothing answers at the address.
        slow: Whether the request timed out, so that the server may still be working on it.
        sure: Whether the kind is certain. Otherwise a setup that has answered other requests is right, and requests
            that fail one after another from the start are taken for a fault of the setup.
    """

    kind: FaultKind
    words: str
    hint: str = ""
    status: int = 0
    parts: frozenset[Part] = frozenset()
    wait: float | None = None
    limited: bool = False
    connection: bool = False
    slow: bool = False
    sure: bool = True

    def as_error(self) -> AutointerpError:
        """Return the fault as an error that ends the command."""
        return AutointerpError(self.words, self.hint, retryable=self.kind is FaultKind.MOMENT)


class ServerFault(Exception):
    """A request failed; `fault` is why, and `form` the form in which it was sent, where that is known."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.words)
        self.fault = fault
        self.form: RequestForm | None = None


def read_fault(status: int, body: Any, headers: Mapping[str, str] | None = None, model: str = "the model") -> Fault:
    """Return what a response, or a line of a batch, that holds an error means.

    Args:
        status: The HTTP status.
        body: The body: parsed JSON, or its text.
        headers: Of the response.
        model: Name of the model that was asked, for the message.
    """
    found = said(status, body, headers)
    fault, status = next(rule.fault for rule in _RULES if rule.fits(found)), found.status or status
    return replace(
        fault,
        words=fault.words.format(
            status=status, words=found.words or f"status {status}, and no reason given", model=model
        ),
        status=status,
        parts=_parts(found) if fault.kind is FaultKind.FORM else fault.parts,
        wait=found.wait if fault.kind is FaultKind.MOMENT else None,
    )


def _parts(found: ServerSaid) -> frozenset[Part]:
    """Return the parts of the form that an error names."""
    longest: Part = "length_key" if signs.LENGTH_KEY.shows(found) else "max_tokens"
    named: dict[Part, bool] = {
        longest: signs.LONGEST.shows(found),
        "temperature": signs.TEMPERATURE.shows(found),
        "schema": signs.SCHEMA.shows(found),
        "system": signs.SYSTEM.shows(found),
    }
    return frozenset(part for part, shown in named.items() if shown)


def _refuses(found: ServerSaid) -> bool:
    """Return whether a server refuses: 4xx but for rate limits, or an error in a 200 that has no status."""
    return found.status < 500 and found.status not in (408, 409, 425, 429)


@dataclass(frozen=True)
class _Rule:
    """A sort of error: its fault, whose words are filled in, and when it is meant."""

    fault: Fault
    fits: Callable[[ServerSaid], bool]


def _request(fits: Callable[[ServerSaid], bool], **more: Any) -> _Rule:
    return _Rule(Fault(FaultKind.REQUEST, "{words}", **more), fits)


def _form(fits: Callable[[ServerSaid], bool], **more: Any) -> _Rule:
    return _Rule(Fault(FaultKind.FORM, "{words}", **more), fits)


def _setup(words: str, hint: str, fits: Callable[[ServerSaid], bool], **more: Any) -> _Rule:
    return _Rule(Fault(FaultKind.SETUP, words, hint, **more), fits)


def _moment(fits: Callable[[ServerSaid], bool], **more: Any) -> _Rule:
    return _Rule(Fault(FaultKind.MOMENT, "{words}", **more), fits)


SHEET = "set sheet = true in autointerp.toml, which sends all pictures of a request as one"
_ADDRESS = "check --base-url: it usually ends in /v1"

_RULES: tuple[_Rule, ...] = (
    _request(lambda e: e.status < 500 and e.status != 429 and signs.FILTERED.shows(e)),
    _request(lambda e: e.status != 429 and signs.UNREADABLE.shows(e), sure=False),
    _setup("{model} takes no images: {words}", "name a vision-language model with --vlm", signs.BLIND.shows),
    _setup(
        "the request is too large ({status}): {words}",
        SHEET,
        signs.LARGE.shows,
        sure=False,
        # The longest answer may take what the request lacks.
        parts=frozenset(("length",)),
    ),
    _setup(
        "the account's limit is reached ({status}): {words}",
        "run it again when the limit is lifted, to go on",
        lambda e: e.status < 500 and (signs.LIMITED.shows(e) or signs.QUOTA.shows(e)) and signs.PER_DAY.shows(e),
    ),
    _moment(lambda e: e.status == 429 and signs.PER_MINUTE.shows(e) and not signs.BROKE.shows(e), limited=True),
    _setup(
        "the account has no credit left ({status}): {words}",
        "add credit, then run it again to go on",
        lambda e: e.status < 500 and (signs.BROKE.shows(e) or (signs.QUOTA.shows(e) and e.wait is None)),
    ),
    _setup(
        "the proxy wants a user and a password ({status}): {words}",
        "write them into HTTPS_PROXY, or unset it",
        lambda e: e.status == 407,
    ),
    _setup(
        "the server refuses the API key ({status}): {words}",
        "check the key and its rights",
        lambda e: signs.KEY.shows(e) or (_refuses(e) and signs.KEY_WORDS.shows(e)),
    ),
    _setup(
        "the server does not offer {model} to this account ({status}): {words}",
        "change the account's settings at the server, or name another model with --vlm",
        lambda e: _refuses(e) and signs.POLICY.shows(e),
    ),
    _form(lambda e: e.status in (0, 400, 415, 422) and bool(_parts(e))),
    _form(lambda e: e.status in (404, 500, 501) and signs.SCHEMA.shows(e)),
    _setup(
        "the server knows no model {model!r} ({status}): {words}",
        "check --vlm",
        lambda e: _refuses(e) and signs.NO_MODEL.shows(e),
    ),
    _setup(
        "the server has no Chat Completions at this address ({status}): {words}",
        _ADDRESS,
        lambda e: (_refuses(e) or e.status == 501) and signs.NO_ENDPOINT.shows(e),
    ),
    _setup(
        "the server knows no model {model!r} or no Chat Completions ({status}): {words}",
        "check --vlm and --base-url, which usually ends in /v1",
        lambda e: e.status in (404, 410),
    ),
    _setup(
        "the server refuses the API key or this request ({status}): {words}",
        "check the key and its rights",
        lambda e: e.status == 403,
        sure=False,
    ),
    _moment(signs.LIMITED.shows, limited=True),
    _moment(lambda e: signs.PASSING.shows(e) or (e.status == 0 and signs.PASSING_WORDS.shows(e))),
    _form(lambda e: e.status in (0, 400, 415, 422), sure=False),
    _request(lambda _: True, sure=False),
)
"""Sorts of errors, the more certain first."""
