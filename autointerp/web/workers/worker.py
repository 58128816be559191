"""Workers of a site: processes that do what takes long, each with its queue of tickets.

A ticket is one piece of work that a page asked for. Pages hold its id, and ask how far it is. A ticket with a leash is
stopped when nobody has asked for that long: the page was left. A process that dies fails the ticket that it was at; the
next ticket gets a new process.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from autointerp.errors import AutointerpError, UsageError
from autointerp.web.workers.wire import Message, read_message, write_message

TicketState = Literal["waiting", "running", "done", "stopped", "failed"]
_ENDED = ("done", "stopped", "failed")
_KEPT, _KEPT_BYTES = 200, 64 * 2**20
"""Ended tickets that are kept, and bytes of their files; of more, the oldest go."""
_QUEUE = 20
"""Tickets that may wait at a time."""
_IDLE = 900.0
"""Seconds after which a process without work ends. Its model holds gigabytes, which other programs of the machine may
need; loading it again takes seconds to minutes, which a person who comes back after a quarter of an hour can wait."""
_TICK = 0.5
"""Seconds between two looks at the leashes."""


@dataclass
class Ticket:
    """One piece of work, and how far it is.

    Attributes:
        id: What pages ask for it by; it cannot be guessed.
        task: The task's name, see `TASKS`.
        request: What the task is given.
        leash: Seconds without a question after which it is stopped; None goes on.
        state: What became of it so far.
        progress: `what`, `done`, `total`, `unit` and `text` of what is under way; empty before the first report.
        notes: What the task noted, without repetitions.
        error, hint: What went wrong, and what to do next.
        value: The result.
        files: Files of the result by name.
        asked_at: When it was last asked for, by the monotonic clock.
        is_sent: Whether the process has it.
        is_stopping: Whether it is to be stopped.
    """

    id: str
    task: str
    request: dict[str, Any]
    leash: float | None = None
    state: TicketState = "waiting"
    progress: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    hint: str = ""
    value: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    asked_at: float = field(default_factory=time.monotonic)
    is_sent: bool = False
    is_stopping: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in _ENDED


class Worker:
    """A process with its queue. The process is started by the first ticket.

    Args:
        workspace: The workspace's folder.
        patience: Seconds that a stopped task has to end before its process is killed; None waits for it.
        without: Variables of the environment that the process does not get.
        command: What starts the process, without the workspace.
        idle: Seconds without work after which the process ends; the next ticket starts a new one.
    """

    def __init__(
        self,
        workspace: Path,
        patience: float | None = None,
        without: Sequence[str] = (),
        command: Sequence[str] = (sys.executable, "-m", "autointerp.web.workers.child"),
        idle: float = _IDLE,
    ) -> None:
        self._command = [*command, str(workspace.absolute())]
        self._patience, self._without, self._idle = patience, without, idle
        self._used_at = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        self._tickets: dict[str, Ticket] = {}
        self._changed, self._saying = threading.Condition(), threading.Lock()
        self._closed = False
        self._threads: list[threading.Thread] = []

    @property
    def pid(self) -> int | None:
        """The process's number; None where none runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def submit(self, task: str, request: dict[str, Any], leash: float | None = None) -> Ticket:
        """Queue a task.

        Raises:
            AutointerpError: Too many wait already.
        """
        with self._changed:
            if sum(one.state == "waiting" for one in self._tickets.values()) >= _QUEUE:
                raise AutointerpError("too much is waiting already", "wait for some of it, or stop it", retryable=True)
            ticket = Ticket(secrets.token_hex(16), task, request, leash)
            self._tickets[ticket.id] = ticket
            self._forget()
            if not self._threads:
                self._threads = [threading.Thread(target=target, daemon=True) for target in (self._run, self._watch)]
                for thread in self._threads:
                    thread.start()
            self._changed.notify_all()
        return ticket

    def knows(self, ticket_id: str) -> bool:
        """Return whether a ticket is one of this worker's."""
        return ticket_id in self._tickets

    def find(self, ticket_id: str) -> Ticket:
        """Return a ticket, whose leash starts anew.

        Raises:
            UsageError: There is no such ticket any more.
        """
        ticket = self._tickets.get(ticket_id)
        if ticket is None:
            raise UsageError("this work is gone", "start it again")
        ticket.asked_at = time.monotonic()
        return ticket

    def tickets(self) -> list[Ticket]:
        """Return all tickets that are known, the oldest first."""
        with self._changed:
            return list(self._tickets.values())

    def place(self, ticket: Ticket) -> int:
        """Return how many tickets come before a waiting one, the running one included."""
        with self._changed:
            before = [one for one in self._tickets.values() if not one.has_ended]
        return before.index(ticket) if ticket in before else 0

    def stop(self, ticket: Ticket) -> None:
        """Stop a ticket; nothing happens where it has ended."""
        with self._changed:
            if ticket.state == "waiting":
                ticket.state = "stopped"
            if ticket.has_ended or ticket.is_stopping:
                return
            ticket.is_stopping = True
            if ticket.is_sent:
                self._interrupt(ticket)

    def _interrupt(self, ticket: Ticket) -> None:
        """Have the process stop a ticket that it was sent, once."""
        process = self._process
        if process is None:
            return
        self._say(process, {"stop": ticket.id})
        if self._patience is not None:
            killing = threading.Timer(self._patience, self._kill, [ticket, process])
            killing.daemon = True
            killing.start()

    def close(self) -> None:
        """End the process and the queue. A task under way is stopped, and has some seconds to keep what is finished."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def _forget(self) -> None:
        """Forget the oldest tickets that have ended."""
        kept = size = 0
        for ticket in [one for one in reversed(self._tickets.values()) if one.has_ended]:
            kept, size = kept + 1, size + sum(map(len, ticket.files.values()))
            if kept > _KEPT or size > _KEPT_BYTES:
                del self._tickets[ticket.id]

    def _run(self) -> None:
        """Take one ticket after the other to the process."""
        while (ticket := self._next()) is not None:
            try:
                self._carry_out(ticket)
            except OSError as error:
                self._fail(ticket, f"the worker process cannot be started ({error.strerror})", "")

    def _next(self) -> Ticket | None:
        """Wait for the next ticket, and mark it as running; None when the worker is closed."""
        with self._changed:
            while not self._closed:
                for ticket in self._tickets.values():
                    if ticket.state == "waiting":
                        ticket.state = "running"
                        return ticket
                self._changed.wait()
        return None

    def _carry_out(self, ticket: Ticket) -> None:
        process = self._running_process()
        assert process.stdout is not None
        self._say(process, {"ticket": ticket.id, "task": ticket.task, "request": ticket.request})
        with self._changed:
            ticket.is_sent = True
            if ticket.is_stopping:
                self._interrupt(ticket)
        while (message := read_message(process.stdout)) is not None:
            self._used_at = time.monotonic()
            if message.value.get("ticket") == ticket.id and self._take_in(ticket, message):
                return
        process.wait()
        if ticket.state == "running":
            self._fail(ticket, "the process that was at it has ended", "ask again: a new one starts")

    def _take_in(self, ticket: Ticket, message: Message) -> bool:
        """Note what the process says of a ticket; return whether the ticket has ended."""
        said = message.value
        if "progress" in said:
            ticket.progress = said["progress"]
        elif "note" in said:
            if said["note"] not in ticket.notes:
                ticket.notes = [*ticket.notes, said["note"]]
        elif "failed" in said:
            # Pages say in a line that a task failed; where it failed is for the one who runs the server.
            sys.stderr.write(said.get("trace", ""))
            self._fail(ticket, said["failed"], said["hint"])
        elif "stopped" in said:
            ticket.state = "stopped"
        else:
            ticket.value, ticket.files = said["done"], message.files
            ticket.state = "done"
        return ticket.has_ended

    def _fail(self, ticket: Ticket, error: str, hint: str) -> None:
        ticket.error, ticket.hint = error, hint
        ticket.state = "failed"

    def _running_process(self) -> subprocess.Popen[bytes]:
        """Return the process, a new one where there is none any more."""
        if self._process is None or self._process.poll() is not None:
            env = {name: value for name, value in os.environ.items() if name not in self._without}
            # Ctrl-C at the server's terminal is the server's: it ends its workers.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=env,
                start_new_session=True,
            )
        return self._process

    def _say(self, process: subprocess.Popen[bytes], value: dict[str, Any]) -> None:
        """Send a value to the process. One that is gone is noticed by whoever reads from it."""
        assert process.stdin is not None
        with suppress(OSError, ValueError), self._saying:
            write_message(process.stdin, Message(value))

    def _kill(self, ticket: Ticket, process: subprocess.Popen[bytes]) -> None:
        if ticket.state == "running":
            ticket.state = "stopped"
            process.kill()

    def _watch(self) -> None:
        """Stop the tickets that nobody asks for any more, and end the process when it had no work for long."""
        while not self._closed:
            time.sleep(_TICK)
            self._rest()
            for ticket in self.tickets():
                if (
                    ticket.leash is not None
                    and not ticket.has_ended
                    and time.monotonic() - ticket.asked_at > ticket.leash
                ):
                    ticket.leash = None
                    self.stop(ticket)

    def _rest(self) -> None:
        """End a process that had no work for long."""
        with self._changed:
            process, is_busy = self._process, any(not one.has_ended for one in self._tickets.values())
            if process is None or is_busy or time.monotonic() - self._used_at < self._idle:
                return
            self._process = None
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        threading.Thread(target=process.wait, daemon=True).start()
