from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from autointerp.labeling.asking.chat import ChatClient
from autointerp.labeling.asking.replies import LABEL_SCHEMA

from ..openai_server import Reply, ScriptedServer, label_json


def test_two_threads_that_ask_the_same_pay_once(server: ScriptedServer) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        time.sleep(0.2)
        return Reply(label_json())

    server.script = script
    client = ChatClient("m", server.base_url, "NO_KEY")
    client.limiter.bear(8)
    messages = [{"role": "user", "content": "same"}]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.ask(messages, LABEL_SCHEMA, "label"), range(8)))
    assert set(answers) == {label_json()}
    assert len(server.requests) == 1
