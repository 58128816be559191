"""Asking for a reply of a fixed form: a reply that cannot be read is quoted back to the model once."""

from __future__ import annotations

from json import dumps
from typing import Any

from autointerp.labeling.asking.protocol import Asker, AskFailed, Message
from autointerp.labeling.asking.replies import Reply, UnreadableReply, parse_reply
from autointerp.labeling.asking.templates import PromptFile

_QUOTED = 4000
"""Characters of an unreadable reply that are quoted back."""


def ask_for_reply(
    asker: Asker,
    messages: list[Message],
    schema: dict[str, Any],
    form: type[Reply],
    purpose: str,
    repair: PromptFile,
) -> Reply:
    """Ask and read the reply. Where it cannot be read, quote it and ask once more.

    Args:
        asker: The VLM.
        messages: The request.
        schema: JSON schema of the reply.
        form: The reply as it is read.
        purpose: What the request is for, as the ledger records it.
        repair: Prompt of the second request.

    Raises:
        AskFailed: No readable reply came.
        AutointerpError: See `Asker.ask`.
    """
    answer = asker.ask(messages, schema, purpose)
    try:
        return parse_reply(answer, form)
    except UnreadableReply as error:
        asker.reject(messages, schema, f"unreadable: {error}")
        request = repair.render(error=str(error), reply=answer[:_QUOTED], schema=dumps(schema))
        repairing = [*messages, {"role": "user", "content": request}]
        again = asker.ask(repairing, schema, f"{purpose}-repair")
    try:
        return parse_reply(again, form)
    except UnreadableReply as error:
        asker.reject(repairing, schema, f"unreadable: {error}")
        raise AskFailed(f"unreadable reply, twice: {error}") from error
