"""Replies of a VLM: the forms that are asked for, and how a text is read as one.

A value is read in any way of writing it that has one meaning, such as `80%` for 0.8. A reply that does not fit its form
is unreadable, and is never half used. A reply is data from outside. Control and direction marks are removed and lengths
are bounded when it is read.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from autointerp.labeling.asking.drafts import answered_objects
from autointerp.texts import EXPLANATION, NAME, clean, to_json

_PARTS, _PART = 100, 200
"""Parts of a reply that are kept, and characters of a part."""
_SHARE = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*(?:(%|percent|per cent)|/\s*(\d+)|out of\s*(\d+))?\s*", re.IGNORECASE)


class UnreadableReply(ValueError):
    """A reply without a JSON object of the wanted form; the message says why."""


def _at_most(limit: int) -> BeforeValidator:
    """Clean and cut a text, and take null for an empty one; pydantic refuses any other value."""
    return BeforeValidator(lambda value: clean(value or "", limit) if isinstance(value, str | None) else value)


_WORDS = {"very low": 0.05, "low": 0.2, "medium": 0.5, "moderate": 0.5, "high": 0.8, "very high": 0.95, "certain": 1.0}
"""Shares that stand for the words in which some models say how sure they are."""


def _share(value: Any) -> Any:
    """Return a share from 0 to 1 however it is written: 0.8, "0.8", 80, "80%", "8/10", "high".

    A number above 10 is percent. A number above 1 and up to 10 may be percent or points of ten. So it has no one
    meaning, and pydantic refuses it as it is.
    """
    if isinstance(value, str):
        found = _SHARE.fullmatch(value)
        if found is None:
            return _WORDS.get(" ".join(value.lower().split()), value)
        number = float(found[1].replace(",", "."))
        whole = 100.0 if found[2] else float(found[3] or found[4] or 0)
        value = number / whole if whole else number
    if isinstance(value, bool):
        return str(value)
    return value / 100 if isinstance(value, int | float) and 10 < value <= 100 else value


_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _texts(value: Any) -> list[str]:
    """Return parts as texts. They make the model look before it sums up, and no answer is refused over them."""
    parts = value if isinstance(value, list) else [] if value is None else [value]
    return [clean(part if isinstance(part, str) else to_json(part), _PART) for part in parts[:_PARTS]]


def _number_of(value: Any) -> Any:
    """Return the number in a text such as `Image 3`; other values as they are."""
    found = re.findall(r"\d{1,9}", value) if isinstance(value, str) else []
    return int(found[0]) if len(found) == 1 else value


class LabelReply(BaseModel):
    """The reply to a labeling request.

    Attributes:
        parts: What each example shows.
        name: The concept; empty where there is none.
        explanation: Where the feature fires.
        interpretable: Whether the examples have something in common.
        confidence: From 0 to 1; None where the reply gives no number.
    """

    model_config = ConfigDict(extra="ignore")

    parts: Annotated[list[str], BeforeValidator(_texts)] = Field(default_factory=list)
    name: Annotated[str, _at_most(NAME)]
    explanation: Annotated[str, _at_most(EXPLANATION)]
    interpretable: bool
    confidence: Annotated[_Share | None, BeforeValidator(_share)] = None


class ApartReply(BaseModel):
    """The reply to the question what tells a feature from others that were named alike.

    Attributes:
        parts: What the marked places of each feature show.
        same: Numbers of the other features that respond to the same, from 1.
        difference: What only the first feature has; empty where there is no such thing.
        name: A name that says it; empty where the name should stay.
    """

    model_config = ConfigDict(extra="ignore")

    parts: Annotated[list[str], BeforeValidator(_texts)] = Field(default_factory=list)
    same: list[Annotated[int, BeforeValidator(_number_of)]] = Field(default_factory=list)
    difference: Annotated[str, _at_most(NAME)]
    name: Annotated[str, _at_most(NAME)]


class DetectReply(BaseModel):
    """The reply to a detection or fuzzing request: a boolean for each image."""

    model_config = ConfigDict(extra="ignore")

    answers: list[bool]


class IntruderReply(BaseModel):
    """The reply to an intruder request: the number of the image that does not belong, from 1."""

    model_config = ConfigDict(extra="ignore")

    intruder: Annotated[int, BeforeValidator(_number_of), Field(ge=1)]


class RatingReply(BaseModel):
    """The reply to a request for ratings: a number from 0 to 1 for each image."""

    model_config = ConfigDict(extra="ignore")

    ratings: list[Annotated[_Share, BeforeValidator(_share)]]


def _strict(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


LABEL_SCHEMA: dict[str, Any] = _strict(
    {
        # Parts come first, so that the VLM describes the pictures before it sums them up.
        "parts": {"type": "array", "items": {"type": "string"}},
        "name": {"type": "string"},
        "explanation": {"type": "string"},
        "interpretable": {"type": "boolean"},
        "confidence": {"type": "number"},
    }
)
APART_SCHEMA: dict[str, Any] = _strict(
    {
        "parts": {"type": "array", "items": {"type": "string"}},
        "same": {"type": "array", "items": {"type": "integer"}},
        "difference": {"type": "string"},
        "name": {"type": "string"},
    }
)
DETECT_SCHEMA: dict[str, Any] = _strict({"answers": {"type": "array", "items": {"type": "boolean"}}})
INTRUDER_SCHEMA: dict[str, Any] = _strict({"intruder": {"type": "integer"}})
RATING_SCHEMA: dict[str, Any] = _strict({"ratings": {"type": "array", "items": {"type": "number"}}})

Reply = TypeVar("Reply", bound=BaseModel)


def parse_reply(text: str, form: type[Reply]) -> Reply:
    """Read the last JSON object of the wanted form in the answer of a text.

    Thoughts, fences and other text around the object are ignored. A model that thinks without marks writes its drafts
    before its answer, so the last object counts.

    Raises:
        UnreadableReply: The text has no such object.
    """
    problem = ""
    for found in reversed(answered_objects(text)):
        for value in _unwrapped(found.value):
            try:
                return form.model_validate(value)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"]) or "reply"
                problem = problem or f"{where}: {first['msg']}"
    raise UnreadableReply(problem or "it holds no JSON object")


def _unwrapped(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a reply without the call of a function, or the one key, that some models wrap around it; then as it is."""
    inner = value.get("arguments") or value.get("parameters") if "name" in value and len(value) <= 3 else None
    if len(value) == 1:
        (inner,) = value.values()
    return [inner, value] if isinstance(inner, dict) else [value]
