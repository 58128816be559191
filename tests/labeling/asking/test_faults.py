"""Errors as real servers give them, and what each means."""

# ruff: noqa: E501 - the table has a line a case.

from __future__ import annotations

import json
from typing import Any

import pytest

from autointerp.labeling.asking.faults import FaultKind, read_fault

REQUEST, FORM, SETUP, MOMENT = FaultKind.REQUEST, FaultKind.FORM, FaultKind.SETUP, FaultKind.MOMENT


def openai(message: str, code: str | None = None, type: str = "invalid_request_error", param: str | None = None) -> Any:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def vllm(message: str, code: int = 400, type: str = "BadRequestError") -> Any:
    return {"object": "error", "message": message, "type": type, "param": None, "code": code}


def gemini(code: int, message: str, status: str, *details: Any) -> Any:
    return [{"error": {"code": code, "message": message, "status": status, "details": list(details)}}]


def anthropic(type: str, message: str) -> Any:
    return {"type": "error", "error": {"type": type, "message": message}}


def openrouter(message: str, code: int, **metadata: Any) -> Any:
    return {"error": {"message": message, "code": code, "metadata": metadata}, "user_id": "user_1"}


def llama_cpp(message: str, code: int, type: str) -> Any:
    return {"error": {"code": code, "message": message, "type": type}}


def quota(name: str) -> Any:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name}]}


def page(title: str) -> str:
    return f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center><hr>nginx</body></html>"


PLAN = "You exceeded your current quota, please check your plan and billing details."
DELAY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
RPM = (
    "Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1. Please "
    "try again in 20s. You can increase your rate limit by adding a payment method to your account at "
    "https://platform.openai.com/account/billing."
)
FREE = "free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"
RAW = json.dumps(openai("The response was filtered due to our content management policy.", "content_filter"))

CASES: list[tuple[str, int, Any, FaultKind, str]] = [
    # Server and sort, HTTP status, body, the kind, and words or a hint that a person is told.
    ("openai filter", 400, openai("Your request was rejected as a result of our safety system.", "content_policy_violation"), REQUEST, "safety system"),
    ("openai prompt", 400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "invalid_prompt"), REQUEST, "flagged"),
    ("openai image", 400, openai("You uploaded an unsupported image. Please make sure your image is valid.", "image_parse_error"), REQUEST, "unsupported image"),
    ("openai key", 401, openai("Incorrect API key provided: sk-ab***yz.", "invalid_api_key"), SETUP, "refuses the API key"),
    ("openai region", 403, openai("Country, region, or territory not supported", "unsupported_country_region_territory", "request_forbidden"), SETUP, "territory"),
    ("openai quota", 429, openai(PLAN, "insufficient_quota", "insufficient_quota"), SETUP, "no credit"),
    ("openai billing", 400, openai("Billing hard limit has been reached", "billing_hard_limit_reached"), SETUP, "no credit"),
    ("openai minute", 429, openai(RPM, "rate_limit_exceeded", "requests"), MOMENT, "per min"),
    ("openai day", 429, openai("Rate limit reached for gpt-4o on requests per day (RPD): Limit 200, Used 200. Please try again in 7m12s.", "rate_limit_exceeded", "requests"), SETUP, "limit is reached"),
    ("openai large", 429, openai("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 44000.", "rate_limit_exceeded", "tokens"), SETUP, "sheet = true"),
    ("openai context", 400, openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded"), SETUP, "sheet = true"),
    ("openai model", 404, openai("The model `gpt-9` does not exist or you do not have access to it.", "model_not_found"), SETUP, "knows no model"),
    ("openai no v1", 404, openai("Invalid URL (POST /chat/completions)"), SETUP, "/v1"),
    ("openai blind", 400, openai("Invalid content type. image_url is only supported by certain models."), SETUP, "takes no images"),
    ("openai max_tokens", 400, openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "unsupported_parameter", param="max_tokens"), FORM, "max_completion_tokens"),
    ("openai temperature", 400, openai("Unsupported value: 'temperature' does not support 0.0 with this model.", "unsupported_value", param="temperature"), FORM, "temperature"),
    ("openai schema", 400, openai("Invalid schema for response_format 'reply'", param="response_format"), FORM, "schema"),
    ("openai overload", 503, openai("The engine is currently overloaded, please try again later", type="server_error"), MOMENT, "overloaded"),
    ("azure filter", 400, {"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, REQUEST, "filtered"),
    ("azure deployment", 404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}, SETUP, "knows no model"),
    ("azure address", 404, {"error": {"code": "404", "message": "Resource not found"}}, SETUP, "--base-url"),
    ("azure key", 401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}}, SETUP, "subscription key"),
    ("azure firewall", 403, {"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}}, SETUP, "Firewall"),
    ("azure rate", 429, {"error": {"code": "429", "message": "Requests have exceeded call rate limit of your current pricing tier. Please retry after 6 seconds."}}, MOMENT, "retry after 6"),
    ("gemini key", 400, gemini(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"), SETUP, "API key not valid"),
    ("gemini minute", 429, gemini(429, f"{PLAN} Please retry in 34.07s.", "RESOURCE_EXHAUSTED", quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"), DELAY), MOMENT, "retry in 34"),
    ("gemini day", 429, gemini(429, f"{PLAN} Please retry in 34.07s.", "RESOURCE_EXHAUSTED", quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), DELAY), SETUP, "limit is reached"),
    ("gemini not free", 429, gemini(429, f"{PLAN} Quota exceeded for metric: free_tier_requests, limit: 0", "RESOURCE_EXHAUSTED", DELAY), SETUP, "no credit"),
    ("gemini model", 404, gemini(404, "models/x is not found for API version v1main, or is not supported for generateContent.", "NOT_FOUND"), SETUP, "knows no model"),
    ("gemini schema", 400, gemini(400, "Invalid JSON payload received. Unknown name \"additionalProperties\" at 'generation_config.response_schema'", "INVALID_ARGUMENT"), FORM, "additionalProperties"),
    ("gemini image", 400, gemini(400, "Unable to process input image. Please retry or report.", "INVALID_ARGUMENT"), REQUEST, "process input image"),
    ("gemini overload", 503, gemini(503, "The model is overloaded. Please try again later.", "UNAVAILABLE"), MOMENT, "overloaded"),
    ("openrouter moderation", 403, openrouter("openai/gpt-4o requires moderation on OpenAI. Your input was flagged for \"sexual\".", 403, reasons=["sexual"], flagged_input="my api key"), REQUEST, "flagged"),
    ("openrouter policy", 404, openrouter("No endpoints found matching your data policy. Configure: https://openrouter.ai/settings/privacy", 404), SETUP, "data policy"),
    ("openrouter blind", 404, openrouter("No endpoints found that support image input", 404), SETUP, "takes no images"),
    ("openrouter model", 400, openrouter("x/y is not a valid model ID", 400), SETUP, "knows no model"),
    ("openrouter credit", 402, openrouter("This request requires more credits, or fewer max_tokens.", 402), SETUP, "no credit"),
    ("openrouter day", 429, openrouter(f"Rate limit exceeded: {FREE}", 429, headers={"X-RateLimit-Reset": "1999999999000"}), SETUP, "per day"),
    ("openrouter minute", 429, openrouter("Rate limit exceeded: free-models-per-min. ", 429), MOMENT, "per-min"),
    ("openrouter quotes", 400, openrouter("Provider returned error", 400, raw=RAW, provider_name="Azure"), REQUEST, "content management"),
    ("openrouter 200 rate", 200, openrouter("Provider returned error", 429, raw="m is temporarily rate-limited upstream. Please retry shortly"), MOMENT, "upstream"),
    ("openrouter 200 key", 200, openrouter("No auth credentials found", 401), SETUP, "refuses the API key"),
    ("openrouter 200 credit", 200, openrouter("Insufficient credits. Add more using https://example.com", 402), SETUP, "no credit"),
    ("openrouter 200 gateway", 200, openrouter("Provider returned error", 502), MOMENT, "Provider"),
    ("mistral key", 401, {"message": "Unauthorized", "request_id": "api-key-1"}, SETUP, "refuses the API key"),
    ("mistral key, newer", 401, {"detail": "Unauthorized"}, SETUP, "refuses the API key"),
    ("mistral model", 400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "param": None, "code": "1500"}, SETUP, "knows no model"),
    ("mistral rate", 429, {"message": "Requests rate limit exceeded"}, MOMENT, "rate limit"),
    ("mistral busy", 429, {"object": "error", "message": "Service tier capacity exceeded for this model.", "type": "service_tier_capacity_exceeded", "code": "3505"}, MOMENT, "capacity"),
    ("mistral parameter", 422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "temperature"], "msg": "Extra inputs are not permitted", "input": 0.0}]}, FORM, "temperature: Extra inputs"),
    ("anthropic key", 401, anthropic("authentication_error", "invalid x-api-key"), SETUP, "refuses the API key"),
    ("anthropic credit", 400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), SETUP, "no credit"),
    ("anthropic model", 404, {"error": {"code": "not_found_error", "message": "model: claude-x", "type": "not_found_error"}}, SETUP, "model: claude-x"),
    ("anthropic large", 413, anthropic("request_too_large", "Request exceeds the maximum size"), SETUP, "sheet = true"),
    ("anthropic image", 400, anthropic("invalid_request_error", "Could not process image"), REQUEST, "process image"),
    ("anthropic overload", 529, anthropic("overloaded_error", "Overloaded"), MOMENT, "Overloaded"),
    ("vllm images", 400, vllm("At most 1 image(s) may be provided in one request."), SETUP, "sheet = true"),
    ("vllm no images", 400, vllm("At most 0 image(s) may be provided in one request."), SETUP, "takes no images"),
    ("vllm blind", 400, vllm("Qwen/Qwen3-8B is not a multimodal model"), SETUP, "takes no images"),
    ("vllm context", 400, vllm("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4300 in the messages, 700 in the completion)."), SETUP, "sheet = true"),
    ("vllm schema", 500, {"error": {"message": "grammar rejected tokens; failed to compile json_schema", "type": "InternalServerError", "code": 500}}, FORM, "grammar"),
    ("vllm system", 400, vllm("System role not supported"), FORM, "System role"),
    ("vllm model", 404, vllm("The model `x` does not exist.", 404, "NotFoundError"), SETUP, "knows no model"),
    ("vllm no v1", 404, {"detail": "Not Found"}, SETUP, "/v1"),
    ("vllm key", 401, {"error": "Unauthorized"}, SETUP, "refuses the API key"),
    ("vllm image", 500, vllm("cannot identify image file <_io.BytesIO object>", 500, "InternalServerError"), REQUEST, "image file"),
    ("sglang context", 400, vllm("The input (9000 tokens) is longer than the model's context length (8192 tokens)."), SETUP, "sheet = true"),
    ("ollama model", 404, {"error": {"message": 'model "llava" not found, try pulling it first', "type": "api_error", "param": None, "code": None}}, SETUP, "pulling"),
    ("ollama no v1", 404, "404 page not found", SETUP, "/v1"),
    ("ollama blind", 500, {"error": {"message": "this model is missing data required for image input", "type": "api_error"}}, SETUP, "takes no images"),
    ("ollama memory", 500, {"error": {"message": "model runner has unexpectedly stopped, this may be due to resource limitations", "type": "api_error"}}, MOMENT, "stopped"),
    ("lm studio no v1", 200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}, SETUP, "/v1"),
    ("lm studio model", 404, openai("No models loaded. Please load a model in the developer page.", "model_not_found", param="model"), SETUP, "knows no model"),
    ("lm studio schema", 400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}, FORM, "response_format"),
    ("lm studio blind", 400, {"error": "Model does not support images. Please use a model that does."}, SETUP, "takes no images"),
    ("llama.cpp blind", 500, llama_cpp("image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", 500, "server_error"), SETUP, "takes no images"),
    ("llama.cpp context", 400, llama_cpp("the request exceeds the available context size, try increasing it", 400, "exceed_context_size_error"), SETUP, "sheet = true"),
    ("llama.cpp loading", 503, llama_cpp("Loading model", 503, "unavailable_error"), MOMENT, "Loading"),
    ("llama.cpp grammar", 400, llama_cpp("failed to parse grammar", 400, "invalid_request_error"), FORM, "grammar"),
    ("groq blind", 400, openai("'messages.1' : for 'role:user' the following must be satisfied[('messages.1.content' : value must be a string)]"), SETUP, "takes no images"),
    ("deepseek blind", 422, "Failed to deserialize the JSON body: messages[1]: unknown variant `image_url`, expected `text`", SETUP, "takes no images"),
    ("nginx large", 413, page("413 Request Entity Too Large"), SETUP, "sheet = true"),
    ("nginx gateway", 502, page("502 Bad Gateway"), MOMENT, "502 Bad Gateway"),
    ("nginx method", 405, page("405 Not Allowed"), SETUP, "/v1"),
    ("nginx https", 400, page("400 The plain HTTP request was sent to HTTPS port"), SETUP, "--base-url"),
    ("proxy password", 407, page("407 Proxy Authentication Required"), SETUP, "proxy"),
    ("gateway of many", 401, {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]}, SETUP, "Authentication error"),
    ("litellm", 500, {"error": {"message": "litellm.RateLimitError: slow down", "type": None, "code": "429"}}, MOMENT, "slow down"),
    ("nothing at all", 500, "", MOMENT, "status 500"),
    ("unknown refusal", 400, {"error": "no thanks"}, FORM, "no thanks"),
    ("unknown status", 418, "I am a teapot", REQUEST, "teapot"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
@pytest.mark.parametrize("sent", ["parsed", "as text"])
def test_errors_of_servers_are_told_apart(status: int, body: Any, kind: FaultKind, told: str, sent: str) -> None:
    fault = read_fault(status, body if sent == "parsed" or isinstance(body, str) else json.dumps(body), None, "m")
    assert fault.kind is kind, fault
    assert told in f"{fault.words} ({fault.hint})"
    assert "\n" not in fault.words
    assert (kind is SETUP) <= bool(fault.hint), "what ends a command says what to do"


def test_each_kind_and_each_server_is_in_the_table() -> None:
    for kind in FaultKind:
        assert sum(case[3] is kind for case in CASES) >= 8
    servers = "openai, azure, gemini, openrouter, mistral, anthropic, vllm, sglang, ollama, lm studio, llama.cpp"
    for server in servers.split(", "):
        assert any(case[0].startswith(server) for case in CASES), server


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", {"length_key"}),
        ("max_tokens is too large: 700. This model supports at most 512 completion tokens", {"max_tokens"}),
        ("'temperature' does not support 0", {"temperature"}),
        ("response_format json_schema is not supported", {"schema"}),
        ("temperature and response_format are unknown", {"temperature", "schema"}),
        ("Conversation roles must alternate user/assistant", {"system"}),
        ("no thanks", set()),
    ],
)
def test_a_refused_form_names_its_parts(message: str, parts: set[str]) -> None:
    fault = read_fault(400, openai(message))
    assert fault.kind is FORM
    assert set(fault.parts) == parts
    assert fault.sure is bool(parts)


def test_what_a_server_quotes_of_the_request_is_not_read() -> None:
    quoted = {
        "type": "string_type",
        "loc": ["body", "seed"],
        "msg": "Bad",
        "input": "temperature, api key, content_filter",
    }
    fault = read_fault(422, {"detail": [quoted]})
    assert (fault.kind, fault.parts, fault.words) == (FORM, frozenset(), "seed: Bad")


def test_a_limit_of_the_moment_tells_how_long() -> None:
    fault = read_fault(429, next(body for name, _, body, *_ in CASES if name == "gemini minute"))
    assert fault.limited
    assert fault.wait == pytest.approx(34, abs=0.1)
    assert read_fault(429, "slow down", {"retry-after": "0"}).wait == 0
    assert read_fault(503, "busy").limited is False


def test_text_of_a_server_is_made_safe_to_show() -> None:
    words = read_fault(400, {"error": "bad \x1b[31m\u202ething\n" + 1000 * "x"}).words
    assert words.startswith("bad [31mthing xxx")
    assert len(words) <= 300
