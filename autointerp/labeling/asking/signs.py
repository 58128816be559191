"""Signs by which the errors of real servers are told apart: codes where there are some, else words.

Each sign is a set of codes (a code, type or reason of the body, in lower case) and patterns of what the body says, in
lower case. The comments name servers that give such errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from autointerp.labeling.asking.said import ServerSaid


@dataclass(frozen=True)
class Sign:
    """A sort of error.

    Attributes:
        codes: Any of these codes shows it.
        statuses: Any of these HTTP statuses shows it.
        words: A match of this pattern shows it.
    """

    codes: frozenset[str]
    statuses: frozenset[int]
    words: re.Pattern[str] | None

    def shows(self, said: ServerSaid) -> bool:
        """Return whether an error has the sign."""
        if not self.codes.isdisjoint(said.codes) or said.status in self.statuses:
            return True
        return self.words is not None and self.words.search(said.text) is not None


def _sign(codes: str = "", *words: str, statuses: tuple[int, ...] = ()) -> Sign:
    """Return the sign of codes, parted by blanks, and of alternative patterns."""
    return Sign(frozenset(codes.split()), frozenset(statuses), re.compile("|".join(words)) if words else None)


_NO = r"(?:\bno|n't|\bnot|cannot)"
_IMAGES = r"[`']?(?:images?|image_url|vision|multi-?modal|visual)\b"

FILTERED = _sign(
    # OpenAI, Azure, OpenRouter (403), DashScope
    "content_filter content_policy_violation responsibleaipolicyviolation moderation_blocked safety_violation "
    "datainspectionfailed data_inspection_failed sensitive_content",
    r"content management policy|content[ _]filter|content[ _]polic|usage polic|inappropriate content",
    r"(?:was|been|were|are) flagged|flagged (?:for|as|by)|requires moderation",
    r"safety (?:system|policy|filter|guidelines)",
)
"""The words or pictures of one request are not allowed."""

UNREADABLE = _sign(
    # Anthropic, Gemini, OpenAI, llama.cpp, vLLM
    "invalid_image invalid_image_format image_parse_error invalid_base64",
    r"(?:could not|cannot|can't|unable to|failed to) (?:process|decode|load|read|identify|open|parse|download)\b"
    r"[^.]{0,30}\bimages?\b",
    r"(?:invalid|unsupported|corrupt) (?:image|base64)|invalid_image|not represent a valid image",
    r"image (?:format|type|data)\b[^.]{0,40}\b(?:invalid|unsupported|not supported)|image is (?:corrupt|too small)",
    r"images? (?:exceeds?|dimensions)[^.]{0,30}(?:\bmb\b|bytes|pixels|max)",
)
"""A picture of one request cannot be read."""

BLIND = _sign(
    # vLLM, llama.cpp, Ollama, OpenRouter, OpenAI, DeepSeek, Groq, LM Studio
    "",
    r"at most 0 image|not a multimodal|non-multimodal|mmproj|missing data required for image|text[- ]only model",
    rf"{_NO}\s(?:support|accept|take|allow|handle|process)\w*\s(?:[\w`'-]+\s){{0,3}}{_IMAGES}",
    rf"takes no images|no vision|{_IMAGES}[`']?(?: inputs?| content)?(?: types?)? "
    r"(?:is|are) (?:not|only) (?:supported|enabled|allowed|accepted)",
    r"support image input|(?:unknown|invalid) (?:variant|content type)[^.]{0,20}image_url",
    r"content[^.]{0,40}(?:must|should) be a (?:valid )?string",
)
"""The model takes no images."""

LARGE = _sign(
    # nginx, vLLM, OpenAI, Anthropic, llama.cpp, SGLang, LM Studio
    "request_too_large payload_too_large context_length_exceeded exceed_context_size_error",
    r"at most \d+ image|too many (?:images|media|documents|tokens)",
    r"(?:maximum|max|limit)[^.]{0,20} (?:number of )?images",
    r"(?:only|up to|no more than|than) (?:one|a single|\d+) images?|multiple images",
    r"(?:entity|payload|request|body|content) (?:is )?too (?:large|long)|(?:request|payload|body) exceeds",
    r"context (?:length|window|size)|maximum context|(?:prompt|input) (?:is )?too long|the context (?:the )?overflows",
    r"(?:prompt|input)[^.]{0,40} is longer than|exceeds? [^.]{0,40}(?:token (?:limit|count)|number of tokens)",
    statuses=(413,),
)
"""Requests have too many pictures, bytes or tokens."""

PER_DAY = _sign(
    # OpenRouter, OpenAI, Groq, Gemini
    "",
    r"models-per-day|\((?:rpd|tpd)\)|per_?day(?:per|\b)",
    r"daily (?:limit|quota|request|token|usage)|per[ _]month\b|monthly",
)
"""A limit is of a day or longer."""

PER_MINUTE = _sign("", r"per[- _]?min(?:ute)?\b|per_?minuteper|\((?:rpm|tpm)\)|per[- ]second")
"""A limit is of a minute or shorter."""

BROKE = _sign(
    # OpenAI, OpenRouter, Anthropic (400), DeepSeek, DashScope; Gemini's "limit: 0" is a model without a free tier
    "insufficient_quota billing_hard_limit_reached billing_not_active insufficient_balance insufficient_credits "
    "arrearage payment_required billing_error insufficient_user_quota",
    r"insufficient[ _](?:credit|balance|quota|fund)|credit balance|(?:no|out of) credits?\b",
    r"hard limit has been reached",
    r"spend(?:ing)? (?:limit|cap)|payment (?:is )?required|account is not active|\blimit: 0\b",
    statuses=(402,),
)
"""The account has no credit."""

QUOTA = _sign("", r"exceeded your current quota|check your plan and billing|usage limit")
"""A quota is used up: of the account or of a minute, which the words alone do not tell (OpenAI, Gemini)."""

KEY = _sign(
    "invalid_api_key authentication_error unauthenticated api_key_invalid invalid_authentication", statuses=(401,)
)
"""The key is refused."""

KEY_WORDS = _sign("", r"api[- _]?key|auth credentials|unauthori[sz]ed|authenticat|access token|bearer token")
"""A refusal is about the key (Gemini's has status 400)."""

POLICY = _sign("", r"data policy|privacy (?:setting|policy)|no allowed providers|guardrail|zero data retention")
"""The account's settings allow no server for the model (OpenRouter)."""

NO_MODEL = _sign(
    # OpenAI, Azure, Mistral, Ollama, vLLM, Anthropic, Gemini, LM Studio, OpenRouter
    "model_not_found deploymentnotfound invalid_model model_not_available model_decommissioned",
    r"(?:model|deployment)\b[^.]{0,80}(?:not exist|not found|not available|no access|not a valid|is not supported for)",
    r"(?:model|deployment)\b[^.]{0,80}(?:decommission|deprecat|retired)|not a valid model",
    r"no models? loaded|try pulling",
    r"(?:no such|unknown|invalid|unsupported) (?:model|deployment)|no endpoints found for|not_found_error model: ",
)
"""The server does not know the model."""

NO_ENDPOINT = _sign(
    # LM Studio (in a 200), OpenAI, FastAPI, Ollama, Azure, nginx
    "unknown_url",
    r"unexpected endpoint|(?:unknown|invalid|no such) (?:request )?(?:endpoint|route|path|url)|plain http request",
    r"(?:route|path|endpoint|page|url|resource) (?:was )?not found|cannot post|method not allowed|\b404\b page",
    r"^(?:404 )?not found\W*$",
    statuses=(301, 302, 303, 307, 308, 405, 501),
)
"""The address has no Chat Completions."""

LIMITED = _sign(
    "rate_limit_exceeded rate_limit_error too_many_requests throttled throttling",
    r"rate[- _]?limit|too many requests",
    statuses=(429,),
)
"""The server limits the rate."""

PASSING = _sign(
    "overloaded_error server_error unavailable unavailable_error timeout", statuses=(408, 409, 425, *range(500, 600))
)
"""The server cannot answer now."""

PASSING_WORDS = _sign("", r"overload|temporar|loading|unavailable|timed? ?out|capacity|try again")
"""The server cannot answer now, where there is no status to tell."""

LENGTH_KEY = _sign(
    "", r"use\W+max_completion_tokens|\bmax_tokens\W.{0,40}(?:not supported|unsupported)[^.]*\.[^.]*max_comp"
)
"""The longest answer has another name (OpenAI's newer models)."""

LONGEST = _sign("", r"\bmax_(?:completion_|output_)?tokens\b|maxoutputtokens")
"""A longest answer is not taken."""

TEMPERATURE = _sign("", r"temperature")
"""The temperature is not taken."""

SCHEMA = _sign(
    # vLLM and llama.cpp (500), LM Studio, Gemini, OpenAI
    "",
    r"response_?format|json_?schema|json schema|json_?object|json mode|response_?schema|invalid schema",
    r"structured[ _]?output|guided_|guided decoding|grammar|additionalproperties|handle the requested parameters",
)
"""The schema of the reply is not taken."""

SYSTEM = _sign(
    "",
    r"system (?:role|message|instruction|prompt)s?\b|role\W+system|roles? must alternate|only user and assistant roles",
)
"""A system message is not taken (vLLM with the chat templates of some models)."""
