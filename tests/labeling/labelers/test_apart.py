from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.labelers.apart import OTHER_CELLS, OWN_CELLS, DifferenceTeller, NamedAlike
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.protocol import FeatureEvidence

from ..clients import client_of
from ..conftest import World
from ..openai_server import Reply, ScriptedServer


def feature(world: World, index: int, colour: str) -> FeatureEvidence:
    """A feature that is active on patches of a colour, with a sample of its active cells."""
    cells = world.where(lambda was, _: was == colour)
    found = world.feature(index, cells)
    drawn = tuple(replace(crop, role="active") for crop in world.feature(index, cells[::-1]).crops)
    return replace(found, cells=drawn)


def alike(world: World, *colours: str) -> NamedAlike:
    own, *others = (feature(world, index, colour) for index, colour in enumerate(colours))
    return NamedAlike("patch", own, tuple(others))


def said(**more: Any) -> Reply:
    return Reply(json.dumps({"parts": [], "same": [], "difference": "red", "name": "red patch"} | more))


def told(server: ScriptedServer, group: NamedAlike, **options: Any) -> Any:
    teller = DifferenceTeller(client_of(server), VlmOptions(**options))
    (found,) = teller.tell([group])
    return found


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (said(), ("told", "red", "red patch", (0, 1), ())),
        (said(same=[2], name=""), ("told", "red", "", (0,), (1,))),
        (said(same=["Other feature 1"]), ("told", "red", "red patch", (1,), (0,))),
        (said(same=[1, 2], difference=""), ("same", "", "", (), (0, 1))),
        # A difference from nobody is none, and so is one that is not said.
        (said(same=[1, 2]), ("same", "", "", (), (0, 1))),
        (said(difference=""), ("same", "", "", (), (0, 1))),
        (said(same=[7]), ("told", "red", "red patch", (0, 1), ())),
    ],
)
def test_what_is_said(world: World, server: ScriptedServer, reply: Reply, expected: tuple[Any, ...]) -> None:
    server.script = lambda request, number: reply
    found = told(server, alike(world, "red", "blue", "green"))
    assert (found.status, found.text, found.name, found.apart_from, found.same_as) == expected


@pytest.mark.parametrize("evidence", ["peaks", "cells", "maps"])
def test_cells_of_all_are_shown_and_nothing_says_which_are_alike(
    world: World, server: ScriptedServer, evidence: Any
) -> None:
    server.script = lambda request, number: said()
    told(server, alike(world, "red", "blue", "green"), evidence=evidence)
    system, user = server.requests[0]["messages"]
    heads = [part["text"] for part in user["content"] if part["type"] == "text"]
    assert heads == [f"Feature A, example {n}:" for n in range(1, OWN_CELLS + 1)] + [
        f"Other feature {number}, example {n}:" for number in (1, 2) for n in range(1, OTHER_CELLS + 1)
    ]
    assert sum(part["type"] == "image_url" for part in user["content"]) == OWN_CELLS + 2 * OTHER_CELLS
    assert "named alike: patch" in system["content"]
    assert "2 other features, numbered from 1 to 2" in system["content"]
    assert "red" not in system["content"].replace("numbered", "")


def test_an_unreadable_answer_is_a_failure_with_its_reason(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("Who knows.")
    found = told(server, alike(world, "red", "blue"))
    assert found.status == "failed"
    assert "unreadable" in found.error
    assert len(server.requests) == 2


def test_a_budget_ends_the_work_and_says_so(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: said()
    client = ChatClient(
        "m", server.base_url, "OPENAI_API_KEY", MemoryLedger(), ChatOptions(max_calls=2), lambda seconds: None
    )
    teller = DifferenceTeller(client, jobs=1)
    groups = [
        alike(world, *colours) for colours in (("red", "blue"), ("blue", "red"), ("green", "red"), ("red", "green"))
    ]
    assert [found.status for found in teller.tell(groups)] == ["told", "told"]
    assert "2 calls" in teller.stopped
