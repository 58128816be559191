"""The worker process: `python -m autointerp.web.workers.child WORKSPACE`. It does one task after the other.

Tasks come on standard input, reports and results go to standard output (see `wire`). A task is stopped as Ctrl-C stops
a command: its main thread is interrupted, and what is finished by then is kept. The process ends with its server: when
standard input ends, the task is stopped, and the process exits.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from typing_extensions import override

from autointerp.errors import AutointerpError
from autointerp.progress import Progress
from autointerp.web.workers.tasks import TASKS, Workbench
from autointerp.web.workers.wire import Message, read_message, write_message

_EVERY = 0.1
"""Seconds between two reports of progress, at least."""
_PATIENCE = 20.0
"""Seconds that a task has to end when the server is gone."""


class ReportedProgress(Progress):
    """Progress that is sent to the server.

    Args:
        send: Sends a value.
    """

    def __init__(self, send: Any) -> None:
        self._send = send

    @contextmanager
    @override
    def task(self, what: str, total: int, done: int = 0, unit: str = "it") -> Iterator[_ReportedTask]:
        """See `Progress`."""
        task = _ReportedTask(self._send, what, total, done, unit)
        task.say()
        yield task
        task.say()

    @override
    def note(self, text: str) -> None:
        """See `Progress`."""
        self._send({"note": text})


class _ReportedTask:
    def __init__(self, send: Any, what: str, total: int, done: int, unit: str) -> None:
        self._send, self._what, self._total, self._done, self._unit = send, what, total, done, unit
        self._text = ""
        self._spoke = 0.0

    def advance(self, n: int = 1, note: str = "") -> None:
        self._done += n
        self._text = note or self._text
        if time.monotonic() - self._spoke >= _EVERY:
            self.say()

    def say(self) -> None:
        self._spoke = time.monotonic()
        about = {"what": self._what, "done": self._done, "total": self._total, "unit": self._unit, "text": self._text}
        self._send({"progress": about})


class _Process:
    """The process's state: the tasks that wait, and the ticket whose task runs."""

    def __init__(self, out: BinaryIO, workspace: Path) -> None:
        self._out, self._lock = out, threading.Lock()
        self.waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.running = self.stopped = ""
        self.bench = Workbench(workspace, ReportedProgress(self.report))

    def report(self, value: dict[str, Any]) -> None:
        """Send how far the running task is. An interruption waits, so that no message is cut."""
        is_main = threading.current_thread() is threading.main_thread()
        whole = self.bench.stops.held_back() if is_main else nullcontext()
        # Without a server the task goes on, and is interrupted by `listen`.
        with whole, suppress(OSError), self._lock:
            write_message(self._out, Message({"ticket": self.running, **value}))

    def listen(self, stream: BinaryIO) -> None:
        """Take in what the server says, until it is gone."""
        main = threading.main_thread().ident
        assert main is not None
        while (message := read_message(stream)) is not None:
            if (ticket := message.value.get("stop")) is not None:
                self.stopped = ticket
                signal.pthread_kill(main, signal.SIGINT)
            else:
                self.waiting.put(message.value)
        self.waiting.put(None)
        self.stopped = self.running
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(_PATIENCE)
        os._exit(1)

    def interrupt(self, _number: int, _frame: Any) -> None:
        """Interrupt the task that runs, if it is the one that was stopped: the signal may come late."""
        if self.running and self.stopped == self.running:
            self.stopped = ""
            self.bench.stops.interrupt()

    def work(self) -> None:
        """Do the tasks, one after the other."""
        while (asked := self.waiting.get()) is not None:
            try:
                answer = self._answered(asked)
            except KeyboardInterrupt:
                answer = Message({"stopped": True})
            # From here on a late signal finds nothing to interrupt.
            self.running = ""
            with self._lock:
                write_message(self._out, Message({"ticket": asked["ticket"], **answer.value}, answer.files))

    def _answered(self, asked: dict[str, Any]) -> Message:
        self.running = asked["ticket"]
        if self.stopped == self.running:
            return Message({"stopped": True})
        try:
            self.bench.renew()
            done = TASKS.check(asked["task"]).load()(self.bench, asked["request"])
        except AutointerpError as error:
            return Message({"failed": error.message, "hint": error.hint})
        except Exception as error:
            # The fault of one task: the next one may well go.
            hint = "what was finished is kept; the terminal of the server says where it failed"
            about = {"failed": f"this failed ({type(error).__name__})", "hint": hint, "trace": traceback.format_exc()}
            return Message(about)
        return Message({"done": done.value}, done.files)


def main() -> None:
    """Serve tasks until the server is gone."""
    # What libraries print must not come between messages.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    process = _Process(out, Path(sys.argv[1]))
    signal.signal(signal.SIGINT, process.interrupt)
    threading.Thread(target=process.listen, args=(sys.stdin.buffer,), daemon=True).start()
    with suppress(BrokenPipeError):
        process.work()


if __name__ == "__main__":
    main()
