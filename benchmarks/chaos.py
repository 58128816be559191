"""Labeling against a server that fails, by a process that is killed: nothing is lost, and nothing is paid for twice.

`python -m benchmarks.chaos 10` names features while the server fails three requests in ten, in eleven ways, and the
process is killed (-9) ten times at random moments. In the end every feature has a label or has failed with the reason,
and the server's own count of completions is that of the ledger, but for those that were under way at a kill: at most as
many as requests run at a time. It fails where that is not so, else prints what there was.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.chat_server import FAULTS, Behaviour, Server
from benchmarks.kills import _command as command, ask
from benchmarks.vlm import SETTINGS, harvested

JOBS, LATENCY, FEATURES = 8, 0.05, 240
SLOW, TIMEOUT = 3.0, 1.0
REASONS = (
    "timed out",
    "connection failed",
    "too many requests",
    "scripted 500",
    "scripted 503",
    "empty answer",
    "the model refuses",
    "unreadable reply, twice",
    "cut off",
)
"""What features fail with, each the true reason of one of the faults."""
_CALLS = "SELECT request_hash, answer, error FROM calls"
_LABELS = (
    "SELECT l.feature_id, l.status, l.error FROM labels l JOIN labelers r ON r.id = l.labeler_id WHERE r.kind = 'vlm'"
)


def _label(path: Path, base_url: str, features: int, *more: str) -> int:
    """Name features by the command line; its exit code."""
    given = ("--labeler", "vlm", "--vlm", "stub", "--base-url", base_url, "-j", str(JOBS), "-n", str(features))
    return command("-w", str(path), "label", "--layer", "mid", "--no-score", *given, *more)


def _killed(path: Path, base_url: str, features: int, after: int) -> bool:
    """Name features in a process of its own, and kill it after so many more calls; False if it ended before."""
    before = ask(path, "SELECT count(*) FROM calls")[0][0]
    child = os.fork()
    if not child:
        os._exit(_label(path, base_url, features))
    while ask(path, "SELECT count(*) FROM calls")[0][0] < before + after:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.01)
    time.sleep(random.uniform(0, LATENCY))
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _check(path: Path, server: Server, kills: int, features: int) -> dict[str, Any]:
    """What there was, after what must hold was looked at.

    Raises:
        RuntimeError: It does not hold.
    """
    labels, calls, counted = ask(path, _LABELS), ask(path, _CALLS), server.counts()
    failed = [error for _, status, error in labels if status == "failed"]
    answers = Counter(key for key, answer, _ in calls if answer is not None)
    lost = counted["completions"] - answers.total()
    problems = {
        "a feature has no label, or two": len({row[0] for row in labels}) != features or len(labels) != features,
        "a reason is not true": not all(any(reason in error for reason in REASONS) for error in failed),
        "a request was paid for twice": max(answers.values()) > 1,
        "the server answered more than was kept and under way": not 0 <= lost <= JOBS * kills,
        "an answer was asked for again that was kept": sum(n - 1 for n in counted["answered"].values()) > lost,
        "a call has neither answer nor reason": not all(answer or error for _, answer, error in calls),
        "the database is not whole": command("-w", str(path), "db", "check") != 0,
    }
    found = [what for what, wrong in problems.items() if wrong]
    if found:
        raise RuntimeError(f"{'; '.join(found)}: {Counter(failed)}, {lost} answers lost in {kills} kills")
    return {
        "kills": kills,
        "features": features,
        "failed": len(failed),
        "calls": len(calls),
        "answers": answers.total(),
        "lost": lost,
        "faults": counted["faults"],
    }


def run_chaos(kills: int, features: int = FEATURES, images: int = 60, seed: int = 0) -> dict[str, Any]:
    """Name all features through faults and kills, then those again that failed.

    Raises:
        RuntimeError: Something was lost or paid for twice.
    """
    from autointerp.labeling.asking.chat import ChatOptions

    random.seed(seed)
    make = ChatOptions.__init__
    # The client is less patient than with a real server.
    ChatOptions.__init__ = lambda self, **given: make(self, **{"timeout": TIMEOUT, "longest_wait": 1.0, **given})  # type: ignore[method-assign]
    how = Behaviour(LATENCY, faults=0.3, slow=SLOW, seed=seed)
    with harvested(SETTINGS | {"images": images}, features + features // 4) as path, Server(how) as server:
        made = 0
        while made < kills and _killed(path, server.base_url, features, random.randint(1, features // (kills + 1))):
            made += 1
        if made < kills:
            raise RuntimeError(f"all was done after {made} kills")
        code = _label(path, server.base_url, features)
        if code not in (0, 3):
            raise RuntimeError(f"the last run ended with {code}")
        found = _check(path, server, made, features)
        if not set(FAULTS) <= set(found["faults"]) and features >= FEATURES:
            raise RuntimeError(f"not every fault came up: {found['faults']}")
        code = _label(path, server.base_url, features, "--retry-failed")
        again = ask(path, _LABELS)
        if code not in (0, 3) or len({row[0] for row in again}) != features or len(again) != features:
            raise RuntimeError("what failed was not tried again")
        found["failed_again"] = sum(status == "failed" for _, status, _ in again)
    return found


if __name__ == "__main__":
    print(json.dumps(run_chaos(int(sys.argv[1]), *map(int, sys.argv[2:]))))
