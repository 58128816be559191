from __future__ import annotations

import pytest

from autointerp.errors import AutointerpError, NotAvailable, UsageError
from autointerp.labeling.asking.keys import check_variable, find_key, hide, shown_name


@pytest.mark.parametrize(
    "value",
    ["sk-abc", " sk-abc", "sk-abc\n", "\tsk-abc\r\n", "\ufeffsk-abc", '"sk-abc"', "' sk-abc '", "Bearer sk-abc"],
)
def test_what_stands_around_a_key_is_left_out(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MY_KEY", value)
    assert find_key("MY_KEY", needed=True) == "sk-abc"


@pytest.mark.parametrize("value", ["sk-abc def", "sk-abc\ndef", "sk-abcé", "sk-…abc"])
def test_a_value_that_no_header_takes_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(UsageError, match="MY_KEY") as caught:
        find_key("MY_KEY", needed=False)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_key_may_be_missing_where_none_is_needed(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    assert find_key("MY_KEY", needed=False) == ""
    with pytest.raises(NotAvailable, match="MY_KEY"):
        find_key("MY_KEY", needed=True)


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-0123456789",
        "AIzaSyB0123456789abcdefghij",
        "gsk_0123456789abcdefghijABCDEFG",
        "0123456789abcdef0123456789abcdef",
        "abcdef0123456789abcdef0123456789",
        "AKIAIOSFODNN7EXAMPLE",
    ],
)
def test_a_key_that_is_taken_for_the_name_of_its_variable_is_not_shown(key: str) -> None:
    with pytest.raises(AutointerpError) as caught:
        find_key(key, needed=True)
    assert key not in str(caught.value)
    assert key not in shown_name(key)
    assert "not the key itself" in str(caught.value)


def test_names_of_variables_are_shown() -> None:
    for name in ("OPENAI_API_KEY", "MY_KEY", "KEY", "OPENROUTER_API_KEY", "AZURE_OPENAI_API_KEY_2"):
        check_variable(name)
        assert shown_name(name) == name


def test_only_a_text_of_a_secrets_length_is_hidden() -> None:
    assert hide("bad key sk-0123456", "sk-0123456") == "bad key ***"
    assert hide("a red circle", "red") == "a red circle"
    assert hide("anything", "") == "anything"
