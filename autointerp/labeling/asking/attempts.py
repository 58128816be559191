"""One HTTP attempt at a Chat Completions server: what its failure means."""

from __future__ import annotations

from dataclasses import replace

from autointerp.errors import AutointerpError
from autointerp.labeling.asking.answers import NoCompletion
from autointerp.labeling.asking.faults import Fault, FaultKind, ServerFault, read_fault
from autointerp.labeling.asking.keys import hide
from autointerp.labeling.asking.reaching import unreached
from autointerp.labeling.asking.said import error_inside, said


def translate(error: Exception, model: str, address: str, key: str) -> ServerFault:
    """Return the fault that an error of the HTTP client, or of reading a response, means; the key is not in it.

    Args:
        error: The error.
        model: Name of the model that was asked.
        address: Address of the server.
        key: The key; empty where there is none.
    """
    fault = error.fault if isinstance(error, ServerFault) else _fault_of(error, model, address)
    return ServerFault(replace(fault, words=hide(fault.words, key)))


def _fault_of(error: Exception, model: str, address: str) -> Fault:
    import openai

    if isinstance(error, AutointerpError):
        return Fault(FaultKind.SETUP, error.message, error.hint)
    if isinstance(error, openai.APIStatusError):
        response = error.response
        return read_fault(response.status_code, response.content, response.headers, model)
    if isinstance(error, openai.APIConnectionError):
        return unreached(error, address, isinstance(error, openai.APITimeoutError))
    body = error.body if isinstance(error, NoCompletion) else str(error)
    if (inside := error_inside(body)) is not None:
        return read_fault(200, inside, None, model)
    # Maybe the page of another server, or an answer that was cut short on its way.
    words = f"unreadable response: {said(200, body).words or 'nothing'}"
    return Fault(FaultKind.MOMENT, words, "check --base-url: it usually ends in /v1", sure=False)
