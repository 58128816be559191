"""The one reader of a server's answers, for requests that are sent one by one and for those of a batch.

Servers and models differ in where the answer stands: the content as a text or a list of parts, arguments of a tool
call, or the field for thoughts. The reader looks at all of these, and never loses an answer that was paid for over a
key that it does not know.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from autointerp.labeling.asking.drafts import answered_objects, is_whole, last_words, split_thoughts
from autointerp.labeling.asking.said import words_inside
from autointerp.labeling.asking.usage import read_usage

_CUT = ("length", "max_tokens", "max_output_tokens", "token_limit", "context_window", "incomplete")
_FILTERED = ("content_filter", "safety", "recitation", "prohibited", "blocklist", "blocked", "spii", "sensitive")
_ENDED = ("", "stop", "end_turn", "eos", "stop_sequence", "tool_calls", "function_call", "tool_use", "completed")
_THOUGHTS = ("thinking", "reasoning", "reasoning_content", "reasoning_text", "reasoning_details", "thought")
_TEXTS = ("text", "content", "parts", "output_text", "summary", "value")
_CALLS = ("tool_calls", "function_call", "function", "functionCall")
_ARGUMENTS = ("arguments", "input", "args", "parsed", "json")
_OF_PARTS = {"type", "role", "refusal", *_THOUGHTS, *_TEXTS, *_CALLS, *_ARGUMENTS} - {"parts"}
"""Keys of messages and of their parts. An object with none of them is the reply itself, parsed by the server."""
_DEEPEST = 12
"""Levels of nested parts that are read."""
CUT_OFF = "the answer was cut off"
_SHORT_OF = 0.9
"""An answer that is cut off below this share of its limit was cut by something else: the context of the model."""


class NoCompletion(ValueError):
    """A response without an answer that nothing was paid for; the message is what the server says.

    Attributes:
        body: The parsed JSON, or the text where it is none.
    """

    def __init__(self, body: Any) -> None:
        super().__init__(words_inside(body) or "the response is no chat completion")
        self.body = body


@dataclass(frozen=True)
class ServerAnswer:
    """What a response came to.

    Attributes:
        text: The answer; empty where there is none of use.
        problem: Why `text` is empty.
        tokens: Input and output tokens, 0 where the server did not count.
        cut: Whether the answer ended at the longest that was allowed, before it was whole.
    """

    text: str
    problem: str
    tokens: tuple[int, int]
    cut: bool = False


def read_answer(body: Any, longest: int = 0) -> ServerAnswer:
    """Read the body of a response with the status 200.

    Args:
        body: The parsed JSON.
        longest: Tokens of the longest answer that the request allowed; 0 where that is not known.

    Raises:
        NoCompletion: The body holds neither an answer nor counted tokens.
    """
    tokens = read_usage(body)
    messages = _messages(body)
    if not messages and not any(tokens):
        raise NoCompletion(body)
    read = [_read(message, reason, tokens, longest) for message, reason in messages]
    found = next((one for one in read if one.text), read[0] if read else None)
    fault = words_inside(body)
    if fault and (found is None or not found.text):
        if not any(tokens):
            raise NoCompletion(body)
        return ServerAnswer("", fault, tokens)
    return found or ServerAnswer("", "the response holds no answer", tokens)


@dataclass
class _Parts:
    """The texts of a message, by what they are."""

    said: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def take(self, value: Any, thinks: bool = False, depth: int = 0) -> None:
        """Sort a text, a part, or a list of parts by what it is."""
        if isinstance(value, str):
            (self.thoughts if thinks else self.said).append(value)
        elif isinstance(value, list) and depth < _DEEPEST:
            for one in value:
                self.take(one, thinks, depth + 1)
        elif isinstance(value, dict) and depth < _DEEPEST:
            self._take_part(value, thinks, depth + 1)

    def _take_part(self, part: dict[str, Any], thinks: bool, depth: int) -> None:
        if not part.keys() & _OF_PARTS and part.keys() - {"parts"}:
            self._take_arguments(part)
            return
        kind = str(part.get("type") or "").lower()
        thinks = thinks or "thinking" in kind or "reasoning" in kind or part.get("thought") is True
        for key, value in part.items():
            if key == "refusal":
                self.refusals += [value] if isinstance(value, str) and value.strip() else []
            elif key in _CALLS:
                self._take_calls(value, depth)
            elif key in _ARGUMENTS:
                self._take_arguments(value)
            elif key in _THOUGHTS or key in _TEXTS:
                self.take(value, thinks or key in _THOUGHTS, depth)

    def _take_calls(self, value: Any, depth: int) -> None:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict) and depth < _DEEPEST:
                inner = one.get("function")
                called = inner if isinstance(inner, dict) else one
                for key in _ARGUMENTS:
                    self._take_arguments(called.get(key))

    def _take_arguments(self, value: Any) -> None:
        if isinstance(value, dict) and value:
            self.arguments.append(json.dumps(value))
        elif isinstance(value, str) and value.strip():
            self.arguments.append(value)

    def answer(self) -> str:
        """Return the text that holds a reply, else what was said; empty where that is thoughts alone."""
        said, thoughts = "".join(self.said), "".join(self.thoughts)
        for text in (said, *self.arguments):
            if answered_objects(text):
                return text
        if last_words(thoughts):
            return thoughts
        return next((text for text in (said, *self.arguments) if split_thoughts(text)[0].strip()), "")


def _read(message: Any, reason: str, tokens: tuple[int, int], longest: int) -> ServerAnswer:
    """Return the answer of one message."""
    parts = _Parts()
    parts.take(message)
    text = parts.answer()
    has_reply = bool(answered_objects(text))
    if _is_one_of(reason, _CUT) or (0 < longest <= tokens[1] and not has_reply):
        if has_reply and (is_whole(text) or not split_thoughts(text)[0].strip()):
            return ServerAnswer(text, "", tokens)
        return ServerAnswer("", cut_off(tokens[1], longest), tokens, cut=True)
    if has_reply:
        return ServerAnswer(text, "", tokens)
    if parts.refusals:
        return ServerAnswer("", f"the model refuses: {' '.join(parts.refusals)}", tokens)
    if _is_one_of(reason, _FILTERED):
        return ServerAnswer("", "the server's content filter held the answer back", tokens)
    if reason == "refusal":
        return ServerAnswer("", "the model refuses", tokens)
    why = "" if reason in _ENDED else f" (it ended with {reason[:60]!r})"
    return ServerAnswer(text, "" if text else f"empty answer{why}", tokens)


def cut_off(made: int, longest: int) -> str:
    """Return the reason for an answer that was cut off.

    Args:
        made: Tokens of the answer; 0 where they are not known.
        longest: Tokens of the longest answer that was allowed; 0 where that is not known.
    """
    if 0 < made < math.floor(_SHORT_OF * longest):
        return f"{CUT_OFF} at {made} tokens, short of the {longest} that were allowed: the model's context may be full"
    return f"{CUT_OFF} at {longest or made} tokens" if made or longest else CUT_OFF


def limit_of(problem: str) -> int:
    """Return the limit at which an answer was cut off, by the reason that `cut_off` gave; 0 for another reason."""
    found = re.fullmatch(rf"{CUT_OFF} at (\d+) tokens", problem)
    return int(found[1]) if found else 0


def _is_one_of(reason: str, names: tuple[str, ...]) -> bool:
    return any(name in reason for name in names)


def _messages(body: Any) -> list[tuple[Any, str]]:
    """Return the messages of a response, each with the reason why it ended, in lower case."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return []
    for name in ("choices", "candidates"):
        choices = body.get(name)
        choices = [choices] if isinstance(choices, dict) else choices
        if isinstance(choices, list) and choices:
            return [(_message(choice), _reason(choice)) for choice in choices if isinstance(choice, dict)]
    if isinstance(body.get("response"), dict):
        return _messages(body["response"])
    # The forms of other interfaces: Ollama's own, OpenAI's Responses, Anthropic's Messages.
    if isinstance(body.get("message"), dict):
        return [(body["message"], _reason(body))]
    for name in ("output", "content", "output_text"):
        if isinstance(body.get(name), list) or (body.get(name) and name == "output_text"):
            return [({"content": body[name]}, _reason(body))]
    return []


def _message(choice: dict[str, Any]) -> Any:
    """Return the message of a choice; a choice of an older server is its text."""
    for name in ("message", "delta", "content"):
        if choice.get(name):
            return choice[name]
    return {"content": choice.get("text")}


def _reason(ended: dict[str, Any]) -> str:
    """Return why an answer ended, without the name of an enumeration before it."""
    details = ended.get("incomplete_details")
    values = [ended.get(name) for name in ("finish_reason", "finishReason", "stop_reason", "done_reason")]
    values += [details.get("reason") if isinstance(details, dict) else None, ended.get("native_finish_reason")]
    given = next((value for value in values if isinstance(value, str)), "")
    return given.strip().lower().rpartition(".")[2]
