"""A PostgreSQL server for the tests, from the system's packages: own folder, own socket, no network."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from activation.ledger_places import PostgresDatabase

SUPERUSER = "tests"
NOT_INSTALLED = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
# whom the server runs as where the tests run as root, which PostgreSQL refuses
SERVER_USERS = ("postgres", "nobody")


def programs() -> Path | None:
    """The folder of the newest installed server's programs, or None."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda program: int(program.parts[-3])
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@dataclass(frozen=True)
class PostgresServer:
    """A running server; every connection needs the password."""

    folder: Path
    password: str
    pid: int

    def url(
        self, database: str = "postgres", *, schema: str | None = None, password: str | None = None
    ) -> str:
        """Address of a database, and of a schema in it."""
        options = f"&options={quote(f'-csearch_path={schema}')}" if schema else ""
        secret = quote(password or self.password, safe="")
        return f"postgresql://{SUPERUSER}:{secret}@/{database}?host={self.folder}{options}"

    @property
    def socket(self) -> Path:
        """The socket that it listens at."""
        return self.folder / ".s.PGSQL.5432"

    def new_place(self) -> PostgresDatabase:
        """An empty schema of its own for one ledger."""
        schema = f"ledger_{secrets.token_hex(8)}"
        self.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        return PostgresDatabase(self.url(schema=schema))

    def execute(
        self, statement: sql.Composable | bytes, values: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        """Run one statement as the superuser; its rows, if it gives any."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def postgres_server(*, is_standby: bool = False) -> Iterator[PostgresServer]:
    """Start a server with fsync on; stop it by its process id. A standby follows nobody, and is only read."""
    bin_folder = programs()
    if bin_folder is None:
        raise RuntimeError(NOT_INSTALLED)
    user = _server_user()
    # not pytest's own folder: the server's user may not enter it, and a socket's path is short
    folder = Path(tempfile.mkdtemp(prefix="cdp-pg-"))
    password = secrets.token_hex(16)
    try:
        (folder / "password").write_text(password)
        if user is not None:
            for path in (folder, folder / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)
        data = folder / "data"
        _run(
            user,
            [
                bin_folder / "initdb",
                "-D",
                data,
                "-U",
                SUPERUSER,
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--locale",
                "C.UTF-8",
                "--no-sync",
                "--pwfile",
                folder / "password",
            ],
        )
        if is_standby:
            (data / "standby.signal").touch()
        arguments = [f"unix_socket_directories={folder}", "listen_addresses=", "fsync=on"]
        log = (folder / "log").open("wb")
        process = subprocess.Popen(
            [bin_folder / "postgres", "-D", data, *(part for each in arguments for part in ("-c", each))],
            stdout=log,
            stderr=log,
            cwd=folder,
            **_as_user(user),
        )
        log.close()
        try:
            _wait_for(bin_folder, folder, process)
            yield PostgresServer(folder, password, process.pid)
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown: open connections are ended
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(bin_folder: Path, folder: Path, process: subprocess.Popen[bytes]) -> None:
    asked = subprocess.run(
        [bin_folder / "pg_isready", "-h", folder, "-t", "1"], capture_output=True, check=False
    )
    for _ in range(300):
        if asked.returncode == 0:
            return
        if process.poll() is not None:
            break
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            asked = subprocess.run(
                [bin_folder / "pg_isready", "-h", folder, "-t", "1"], capture_output=True, check=False
            )
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")


def _server_user() -> pwd.struct_passwd | None:
    """Whom to become, or None where we are an ordinary user already."""
    if os.getuid() != 0:
        return None
    for name in SERVER_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"PostgreSQL does not run as root, and there is no user {' or '.join(SERVER_USERS)}")


def _as_user(user: pwd.struct_passwd | None) -> dict[str, object]:
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _run(user: pwd.struct_passwd | None, command: list[object]) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **_as_user(user),
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
