"""The cluster of a local run is its own, whatever other clusters there are."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from autointerp.errors import UsageError
from autointerp.stages.harvest import cluster


def test_a_local_run_starts_its_own_cluster_beside_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=lambda **options: given.update(options)))
    assert cluster.start_local(2) is sys.modules["ray"]
    assert given["address"] == "local"
    assert given["num_cpus"] == max(2, os.cpu_count() or 1)
    assert not given["include_dashboard"]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    # What the first start writes for Ray is taken back.
    for name in ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    for start in (lambda: cluster.start_local(1), lambda: cluster.join("127.0.0.1:1")):
        with pytest.raises(UsageError) as raised:
            start()
        assert "autointerp[ray]" in raised.value.hint
