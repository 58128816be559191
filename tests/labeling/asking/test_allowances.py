from __future__ import annotations

import json

import pytest

from autointerp.labeling.asking.allowances import (
    LOCAL_SECONDS,
    PLAIN_SECONDS,
    PLAIN_TOKENS,
    THINKING_SECONDS,
    is_private,
    longest_answer,
    longest_wait,
    thinks,
)
from autointerp.labeling.asking.prices import price_file

AT_ONCE = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gemini-2.0-flash"]


def test_every_model_with_a_shipped_price_is_known_to_think_or_not() -> None:
    listed = json.loads(price_file().read_text())["models"]
    assert {model for model in listed if not thinks(model)} == set(AT_ONCE)


@pytest.mark.parametrize(
    "model",
    ["gpt-5", "openai/gpt-5-mini", "gpt-5.1-2025-11-13", "o1", "o3-mini", "o4-mini", "gpt-oss:20b", "gemini-2.5-pro"]
    + [
        "google/gemini-3-pro-preview",
        "gemini-flash-latest",
        "claude-sonnet-4-5",
        "anthropic/claude-3.7-sonnet:thinking",
    ]
    + ["deepseek-r1:8b", "Qwen/Qwen3-VL-8B-Thinking", "qwen3-vl:8b", "QVQ-72B", "magistral-small", "zai-org/GLM-4.5V"],
)
def test_models_that_think_may_answer_at_length(model: str) -> None:
    assert longest_answer(model) >= 10_000
    assert longest_wait(model, "") == THINKING_SECONDS


@pytest.mark.parametrize(
    "model",
    [*AT_ONCE, "gpt-5-chat-latest", "pixtral-12b", "llava:7b", "claude-3-5-haiku-latest", "Qwen2.5-VL-7B-Instruct", "m"]
    + ["meta-llama/Llama-3.2-11B-Vision-Instruct", "HuggingFaceTB/SmolVLM2-2.2B-Instruct", "mistral-medium-latest"],
)
def test_models_that_answer_at_once_are_held_short(model: str) -> None:
    assert longest_answer(model) == PLAIN_TOKENS
    assert longest_wait(model, "https://api.example.com/v1") == PLAIN_SECONDS


@pytest.mark.parametrize(
    ("address", "private"),
    [("http://localhost:11434/v1", True), ("http://127.0.0.1:8000", True), ("http://[::1]:1/v1", True)]
    + [("http://192.168.1.7:1234/v1", True), ("http://10.0.0.2/v1", True), ("http://gpubox:8000/v1", True)]
    + [("http://mac.local/v1", True), ("https://api.openai.com/v1", False), ("http://8.8.8.8/v1", False)]
    + [("", False), ("http://[bad", False)],
)
def test_a_server_of_ones_own_is_waited_for(address: str, private: bool) -> None:
    assert is_private(address) == private
    assert (longest_wait("m", address) == LOCAL_SECONDS) == private
