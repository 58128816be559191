"""What a VLM replies, read strictly: a reply that does not fit is unreadable, and is never half used.

A reply is data from outside: control and direction marks are taken out and lengths are bounded before anyone sees it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from autointerp.texts import EXPLANATION, NAME, clean


class UnreadableReply(ValueError):
    """A reply that holds no JSON object of the wanted form; the message says why."""


def _at_most(limit: int) -> BeforeValidator:
    """Text is cleaned and cut; what is no text is left to be refused."""
    return BeforeValidator(lambda value: clean(value, limit) if isinstance(value, str) else value)


class LabelReply(BaseModel):
    """The reply to a labeling request."""

    model_config = ConfigDict(extra="ignore")

    parts: list[Annotated[str, _at_most(200)]] = Field(default_factory=list, max_length=100)
    name: Annotated[str, _at_most(NAME)]
    explanation: Annotated[str, _at_most(EXPLANATION)]
    interpretable: bool
    confidence: float = Field(ge=0, le=1)


class DetectReply(BaseModel):
    """The reply to a detection or fuzzing request: one boolean an image."""

    model_config = ConfigDict(extra="ignore")

    answers: list[bool]


class IntruderReply(BaseModel):
    """The reply to an intruder request: the number of the image that does not belong, from 1."""

    model_config = ConfigDict(extra="ignore")

    intruder: int = Field(ge=1)


class RatingReply(BaseModel):
    """The reply to a request for ratings: one number from 0 to 1 an image."""

    model_config = ConfigDict(extra="ignore")

    ratings: list[Annotated[float, Field(ge=0, le=1)]]


def _strict(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


LABEL_SCHEMA: dict[str, Any] = _strict(
    {
        # First, so that what is seen is written down before it is summed up.
        "parts": {"type": "array", "items": {"type": "string"}},
        "name": {"type": "string"},
        "explanation": {"type": "string"},
        "interpretable": {"type": "boolean"},
        "confidence": {"type": "number"},
    }
)
DETECT_SCHEMA: dict[str, Any] = _strict({"answers": {"type": "array", "items": {"type": "boolean"}}})
INTRUDER_SCHEMA: dict[str, Any] = _strict({"intruder": {"type": "integer"}})
RATING_SCHEMA: dict[str, Any] = _strict({"ratings": {"type": "array", "items": {"type": "number"}}})

Reply = TypeVar("Reply", bound=BaseModel)

_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object that starts somewhere in a text, outermost first."""
    decoder, position = json.JSONDecoder(), 0
    while (position := text.find("{", position)) >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
            continue
        if isinstance(value, dict):
            yield value
        position = end


def parse_reply(text: str, form: type[Reply]) -> Reply:
    """Read the first JSON object of a text that has the wanted form, whatever stands around it.

    Raises:
        UnreadableReply: there is none.
    """
    problem = "it holds no JSON object"
    for value in _objects(_THINKING.sub("", text)):
        try:
            return form.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(str(p) for p in first['loc']) or 'reply'}: {first['msg']}"
    raise UnreadableReply(problem)
