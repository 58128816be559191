"""A PostgreSQL server for a while, for benchmarks and tests: made, started and removed, on loopback alone.

What is written is not waited for (fsync off): a server of an hour has nothing to lose. Times are those of the database
itself, without the disk's.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

USER = "autointerp"
PASSWORD = "s3cret:/@%"
"""It holds what must be escaped in a URL, so that an unescaped one is noticed."""
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}


class Unavailable(Exception):
    """There is no PostgreSQL here that can be started; says why."""


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`: the newest of Debian's, else what is on the path.

    Raises:
        Unavailable: There is none.
    """
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
    found = [*debian[::-1], *(Path(p) for p in [shutil.which("initdb")] if p)]
    if not found:
        raise Unavailable("PostgreSQL's initdb is not installed (Debian: apt-get install postgresql-15)")
    return found[0].parent


class Server:
    """A running server with one superuser. `url` may also name databases that do not exist."""

    password = PASSWORD

    def __init__(self) -> None:
        self.binaries = find_binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="autointerp-postgres-"))
        # The server refuses to be root's.
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            try:
                owner = pwd.getpwnam("postgres")
            except KeyError:
                shutil.rmtree(self.folder)
                raise Unavailable("there is no user postgres, and PostgreSQL does not run as root") from None
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        initdb = [self.binaries / "initdb", "-D", self.folder / "data", "-U", USER, "-E", "UTF8", "--locale=C.UTF-8"]
        initdb += ["--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "--no-instructions"]
        done = subprocess.run(initdb, capture_output=True, text=True, cwd=self.folder, **self._as)
        if done.returncode:
            shutil.rmtree(self.folder)
            raise Unavailable(f"initdb failed: {done.stderr.strip()}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {**_OPTIONS, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self._as)
        ready = [self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(600):
            if subprocess.run(ready).returncode == 0:
                return
            time.sleep(0.05)
        raise Unavailable(f"the server did not start: {(self.folder / 'log').read_text()[-500:]}")

    def stop(self) -> None:
        """Stop it at once, as if its connections were cut."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def remove(self) -> None:
        """Stop it and delete all of it."""
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, database: str, password: str | None = PASSWORD) -> str:
        """The URL of a database of this server."""
        from sqlalchemy import URL

        made = URL.create("postgresql+psycopg", USER, password, "127.0.0.1", self.port, database)
        return made.render_as_string(hide_password=False)

    def run(self, statement: str, database: str = "postgres") -> list[Any]:
        """The rows of a statement, run by itself."""
        with connect(self.url(database)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, database: str, template: str | None = None) -> str:
        """Make a database, empty or like another one; returns its URL."""
        if template is not None:
            # Nobody may be connected to the one that is copied.
            self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{template}'")
        self.run(f'CREATE DATABASE "{database}"' + (f' TEMPLATE "{template}"' if template else ""))
        return self.url(database)

    def drop(self, database: str) -> None:
        """Delete a database, whoever uses it."""
        self.run(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def databases(self) -> set[str]:
        """Names of all databases."""
        return {name for (name,) in self.run("SELECT datname FROM pg_database")}


def connect(url: str) -> Any:
    """A psycopg connection that commits every statement and leaves JSON as its text."""
    import psycopg
    from psycopg.types.string import TextLoader

    connection = psycopg.connect(re.sub(r"^postgresql\+psycopg:", "postgresql:", url), autocommit=True)
    connection.adapters.register_loader("json", TextLoader)
    return connection
