"""Ray clusters: one of this machine alone, started for a harvest, or an existing one, joined."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from autointerp.errors import AutointerpError, UsageError

_PATIENCE_SECONDS = 10
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}


def _ray() -> Any:
    """Import Ray, or say how to install it."""
    try:
        import ray
    except ImportError:
        raise UsageError("several workers need Ray", "pip install 'autointerp[ray]'") from None
    return ray


def start_local(workers: int) -> Any:
    """Start a cluster of this machine alone, that ends with this process. Returns the module `ray`.

    Args:
        workers: How many processes it has to have room for.

    Raises:
        UsageError: Ray is not installed.
    """
    if "ray" not in sys.modules:  # Ray reads these variables when it is imported.
        # With this one Ray listens at the loopback address alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Another user of the machine cannot connect without the token of this run. From the environment Ray takes it
        # without writing it into the home folder.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _ray()
    ray.init(
        address="local",  # Otherwise Ray would join the cluster of RAY_ADDRESS or of an earlier `ray start`.
        num_cpus=max(workers, os.cpu_count() or 1),
        include_dashboard=False,
        _temp_dir=str(Path(tempfile.gettempdir()) / "autointerp-ray"),
        **_QUIET,
    )
    return ray


def join(address: str) -> Any:
    """Join the cluster at an address. Returns the module `ray`.

    Raises:
        UsageError: Ray is not installed.
        AutointerpError: There is no cluster at the address.
    """
    ray = _ray()
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdecimal():
            # Ray itself tries for minutes before it gives up.
            socket.create_connection((host, int(port)), _PATIENCE_SECONDS).close()
        ray.init(address=address, **_QUIET)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise AutointerpError(
            f"there is no Ray cluster at {address}: {reason}", "start one with `ray start --head`, or use --workers"
        ) from None
    return ray
