from __future__ import annotations

import pytest

from autointerp.errors import UsageError
from autointerp.registry import Kind, Registry


def test_a_kind_is_loaded_only_when_it_is_used() -> None:
    registry: Registry[Kind[type[Exception]]] = Registry(
        "kind of error",
        [
            Kind("usage", "a wrong word", "autointerp.errors:UsageError"),
            Kind("none", "is nowhere", "autointerp.no:Thing"),
        ],
    )
    assert list(registry) == ["usage", "none"]
    assert registry["usage"].load() is UsageError
    with pytest.raises(ModuleNotFoundError):
        registry["none"].load()


def test_an_unknown_name_names_the_nearest() -> None:
    registry: Registry[Kind[object]] = Registry(
        "labeler", [Kind("clip", "", "a:b"), Kind("vlm", "", "a:b"), Kind("words", "", "a:b")]
    )
    with pytest.raises(UsageError, match="there is no labeler 'clpi': did you mean 'clip'") as caught:
        registry.check("clpi")
    assert caught.value.exit_code == 2
    assert registry.listed() == "clip, vlm or words"


def test_two_kinds_never_share_a_name() -> None:
    with pytest.raises(ValueError, match="share a name"):
        Registry("labeler", [Kind("clip", "", "a:b"), Kind("clip", "", "a:c")])
