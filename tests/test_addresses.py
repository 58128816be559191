from __future__ import annotations

import pytest

from autointerp.addresses import OPENAI, canonical, endpoint, parse_address, spellings
from autointerp.errors import UsageError


@pytest.mark.parametrize(
    "written",
    [
        "http://host:8000/v1",
        "http://host:8000/v1/",
        "http://HOST:8000/v1//",
        "HTTP://Host:8000/v1",
        " http://host:8000/v1\n",
        "http://host:8000/v1/chat/completions",
        "http://host:8000/v1/chat/completions/",
    ],
)
def test_an_address_has_one_spelling(written: str) -> None:
    assert canonical(written) == parse_address(written) == "http://host:8000/v1"
    assert canonical(canonical(written)) == canonical(written)


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("http://host:80/v1", "http://host/v1"),
        ("https://host:443", "https://host"),
        ("http://host:443/V1", "http://host:443/V1"),
        ("http://[::1]:80/v1/", "http://[::1]/v1"),
        ("https://api.openai.com/v1/", ""),
        ("", ""),
        (
            "https://me.openai.azure.com/openai/v1/?api-version=preview",
            "https://me.openai.azure.com/openai/v1?api-version=preview",
        ),
    ],
)
def test_ports_paths_and_versions(written: str, spelled: str) -> None:
    assert canonical(written) == parse_address(written) == spelled


def test_addresses_that_differ_stay_apart() -> None:
    different = ["http://a/v1", "https://a/v1", "http://a:8000/v1", "http://a/V1", "http://a", "http://b/v1"]
    assert len({canonical(address) for address in different}) == len(different)


def test_earlier_spellings_are_known() -> None:
    assert spellings("http://Host/v1/")[0] == "http://host/v1"
    assert set(spellings("http://Host/v1/")) == {"http://host/v1", "http://Host/v1/", "http://host/v1/"}
    assert OPENAI in spellings("")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("localhost:8000/v1", "begin with http"),
        ("sk-0123456789abcdef", "begin with http"),
        ("ftp://host/v1", "begin with http"),
        ("http:///v1", "names no server"),
        ("http://host:99999/v1", "no address"),
        ("http://ho st/v1", "blank"),
        ("http://host/v1#key", "#"),
        ("http://user@host/v1", "a user or a password"),
        ("http://:pw@host/v1", "a user or a password"),
        ("https://host/v1?key=AIzaSyABCDEF", "a secret"),
        ("https://host/v1?API_KEY=x", "a secret"),
        ("https://host/v1?x=0123456789abcdef0123456789abcdef", "a secret"),
    ],
)
def test_what_is_no_address_or_holds_a_secret_is_refused(written: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse_address(written)
    for secret in ("sk-0123456789abcdef", "AIzaSyABCDEF", "0123456789abcdef", ":pw@", "user@"):
        assert secret not in str(caught.value)


def test_the_endpoint_of_an_address() -> None:
    assert endpoint("http://host/v1?api-version=1") == "http://host/v1/chat/completions"
    assert endpoint("") == "https://api.openai.com/v1/chat/completions"
