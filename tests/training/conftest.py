"""Tests of the trainers are slow and guard no code of the package, so that `make test-training` alone runs them."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.training)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave the trainers unimported where their tests would not run."""
    return True if "not training" in config.option.markexpr else None
