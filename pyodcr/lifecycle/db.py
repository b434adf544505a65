"""What is durable: one SQLite file.

Every change of a container and the event that tells of it are one transaction; synchronous=FULL, so
what was recorded is on the disk when the call returns. Processes share the file: writers wait for each
other (``BEGIN IMMEDIATE``), readers never (write-ahead log).

    container(id, name, status, config, state)     config and state as JSON, see models
    volume(name, value)
    exec_session(id, container, value)
    exit_code(container, code, time)               outlives a --rm container, for `wait` and `run`
    operation(id, container, value)                see operations
    upload(id, value)                              uploads that could not be aborted yet
    event(seq, time, value)
    meta(key, value)                               boot: the boot id the states belong to
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyodcr import jsonio
from pyodcr.errors import Ambiguous, Conflict, NotFound, SystemFailed
from pyodcr.lifecycle import reserve
from pyodcr.lifecycle.models import Container, ContainerConfig, ContainerState, Event, ExecSession, Volume
from pyodcr.linux import files

if TYPE_CHECKING:
    from pyodcr.lifecycle.operations import Operation

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE container (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
                        config TEXT NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE volume (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE exec_session (id TEXT PRIMARY KEY, container TEXT NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE exit_code (container TEXT PRIMARY KEY, code INTEGER NOT NULL, time REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE operation (id TEXT PRIMARY KEY, container TEXT NOT NULL UNIQUE, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE upload (id INTEGER PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE event (seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, value TEXT NOT NULL);
CREATE INDEX event_time ON event (time);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
BUSY_TIMEOUT_S = 60
EVENTS_KEPT = 50_000
EXIT_CODE_KEPT_S = 300  # libpod's five minutes


class Database:
    """The tables above. ``path`` is made, with its directory, at the first use."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        files.make_directory(self.path.parent)
        self._make_private()
        reserve.settle(self.path.parent)
        try:
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._migrate(connection)
        except sqlite3.Error as error:
            if not self._is_readable_as_it_is():
                raise self._failed(error) from error
            return sqlite3.connect(f"{self.path.absolute().as_uri()}?immutable=1", uri=True, isolation_level=None)
        return connection

    def _is_readable_as_it_is(self) -> bool:
        """Whether `ps` can do without journal and index, for which a full disk has no room: all is in the one file."""
        journal = self.path.with_name(f"{self.path.name}-wal")
        return reserve.is_full(self.path.parent) and not (journal.exists() and journal.stat().st_size)

    def _make_private(self) -> None:
        """SQLite would let everybody read it, where the directory lets them (a file system of its own, say)."""
        try:
            os.close(os.open(self.path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise files.failed("open", self.path, error) from error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()  # another process may have been first
        if version == 0:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
        if version > SCHEMA_VERSION:
            raise SystemFailed(f"{self.path} was written by a newer pyodcr", hint="upgrade pyodcr on this host")

    def _failed(self, error: sqlite3.Error) -> SystemFailed:
        # SQLite calls a full disk full when it writes its file, and an I/O error when it maps its index
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or reserve.is_full(self.path.parent)
        if full:
            return SystemFailed(
                f"state database {self.path}: no space left on the disk ({error})",
                code="no-space",
                hint="free some space there; pyodcr rm and image rm need next to none",
            )
        return SystemFailed(f"state database {self.path}: {error}", code="database")

    def close(self) -> None:
        if "_connection" in self.__dict__:
            self._connection.close()
            del self.__dict__["_connection"]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        reserve.settle(self.path.parent)
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite ends it by itself on a full disk, say
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    # --- containers -------------------------------------------------------------------------

    def containers(self) -> list[Container]:
        return [_container(row) for row in self._rows("SELECT config, state FROM container")]

    def get(self, container_id: str) -> Container:
        rows = self._rows("SELECT config, state FROM container WHERE id = ?", container_id)
        if not rows:
            raise _no_container(container_id)
        return _container(rows[0])

    def exists(self, container_id: str) -> bool:
        return bool(self._rows("SELECT 1 FROM container WHERE id = ?", container_id))

    def find(self, ref: str) -> Container:
        """A container by name, ID, or the beginning of an ID that fits only one."""
        rows = self._rows("SELECT config, state FROM container WHERE id = ?1 OR name = ?1", ref)
        if not rows and ref.isalnum():  # it holds no wildcard; GLOB is case-sensitive and uses the index
            rows = self._rows("SELECT config, state FROM container WHERE id GLOB ? LIMIT 2", ref + "*")
        if not rows:
            raise _no_container(ref)
        if len(rows) > 1:
            raise Ambiguous(f'more than one container has an ID beginning with "{ref}"', hint="give more of the ID")
        return _container(rows[0])

    def add(self, container: Container, event: str, operation: Operation | None = None) -> Container:
        """A new container, with the operation that makes it; :class:`Conflict` when its name or ID is taken."""
        try:
            with self._writing() as connection:
                connection.execute(
                    "INSERT INTO container VALUES (?, ?, ?, ?, ?)",
                    (container.id, container.name, container.status, _json(container.config), _json(container.state)),
                )
                if operation is not None:
                    _put_operation(connection, operation)
                _tell(connection, container, event)
        except sqlite3.IntegrityError as error:
            raise self._taken(container) from error
        return container

    def _taken(self, container: Container) -> Conflict:
        for other in self.containers():
            if other.name == container.name:
                return Conflict(
                    f'the container name "{container.name}" is already in use by {other.config.short_id}',
                    code="name-taken",
                    hint="remove that container, or choose another --name",
                )
        return Conflict(f"a container with ID {container.id} already exists", code="id-taken")

    def record(
        self, container: Container, event: str = "", *, operation: Operation | None = None, **changes: Any
    ) -> Container:
        """Change the state's named fields, and tell of it, in one transaction. The caller holds the lock.

        ``operation``: how far the operation is that changes them, in the same transaction.
        """
        changed = replace(container, state=replace(container.state, **changes))
        with self._writing() as connection:
            updated = connection.execute(
                "UPDATE container SET status = ?, state = ? WHERE id = ?",
                (changed.status, _json(changed.state), changed.id),
            )
            if updated.rowcount == 0:
                raise _no_container(changed.id)
            if operation is not None:
                _put_operation(connection, operation)
            if changed.state.exited:
                _keep_exit_code(connection, changed)
            if event:
                _tell(connection, changed, event)
        return changed

    def reconfigure(self, container: Container, config: ContainerConfig) -> Container:
        """Replace the configuration (restore drops static addresses)."""
        with self._writing() as connection:
            connection.execute("UPDATE container SET config = ? WHERE id = ?", (_json(config), container.id))
        return replace(container, config=config)

    def remove(self, container: Container, event: str = "remove") -> None:
        with self._writing() as connection:
            connection.execute("DELETE FROM container WHERE id = ?", (container.id,))
            connection.execute("DELETE FROM exec_session WHERE container = ?", (container.id,))
            connection.execute("DELETE FROM operation WHERE container = ?", (container.id,))
            if container.state.exited:
                _keep_exit_code(connection, container)
            _tell(connection, container, event)

    def exit_code(self, container_id: str) -> int | None:
        """The last exit code of a container, also of one that is gone; None when it never exited."""
        rows = self._rows("SELECT code FROM exit_code WHERE container = ?", container_id)
        return int(rows[0][0]) if rows else None

    # --- exec sessions ----------------------------------------------------------------------

    def exec_sessions(self, container_id: str) -> list[ExecSession]:
        rows = self._rows("SELECT value FROM exec_session WHERE container = ?", container_id)
        return [jsonio.decode(ExecSession, jsonio.loads(row[0])) for row in rows]

    def put_exec_session(self, session: ExecSession) -> None:
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO exec_session VALUES (?, ?, ?)", (session.id, session.container, _json(session))
            )

    def remove_exec_session(self, session_id: str) -> None:
        with self._writing() as connection:
            connection.execute("DELETE FROM exec_session WHERE id = ?", (session_id,))

    # --- volumes ----------------------------------------------------------------------------

    def volumes(self) -> list[Volume]:
        return [jsonio.decode(Volume, jsonio.loads(row[0])) for row in self._rows("SELECT value FROM volume")]

    def volume(self, name: str) -> Volume | None:
        rows = self._rows("SELECT value FROM volume WHERE name = ?", name)
        return jsonio.decode(Volume, jsonio.loads(rows[0][0])) if rows else None

    def add_volume(self, volume: Volume, operation: Operation | None = None) -> None:
        """A new volume, with the operation that makes it; :class:`Conflict` when its name is taken."""
        try:
            with self._writing() as connection:
                connection.execute("INSERT INTO volume VALUES (?, ?)", (volume.name, _json(volume)))
                if operation is not None:
                    _put_operation(connection, operation)
                _append(connection, Event(time=jsonio.now(), type="volume", status="create", name=volume.name))
        except sqlite3.IntegrityError as error:
            raise Conflict(f"volume with name {volume.name} already exists", code="name-taken") from error

    def put_volume(self, volume: Volume) -> None:
        with self._writing() as connection:
            connection.execute("UPDATE volume SET value = ? WHERE name = ?", (_json(volume), volume.name))

    def remove_volume(self, name: str) -> None:
        with self._writing() as connection:
            connection.execute("DELETE FROM volume WHERE name = ?", (name,))
            _append(connection, Event(time=jsonio.now(), type="volume", status="remove", name=name))

    # --- operations -------------------------------------------------------------------------

    def operations(self) -> list[Operation]:
        from pyodcr.lifecycle.operations import Operation  # `ps` needs none

        return [jsonio.decode(Operation, jsonio.loads(row[0])) for row in self._rows("SELECT value FROM operation")]

    def operation(self, container_id: str) -> Operation | None:
        from pyodcr.lifecycle.operations import Operation

        rows = self._rows("SELECT value FROM operation WHERE container = ?", container_id)
        return jsonio.decode(Operation, jsonio.loads(rows[0][0])) if rows else None

    def put_operation(self, operation: Operation) -> None:
        with self._writing() as connection:
            _put_operation(connection, operation)

    def remove_operation(self, operation: Operation) -> None:
        with self._writing() as connection:
            connection.execute("DELETE FROM operation WHERE id = ?", (operation.id,))

    # --- unfinished uploads -----------------------------------------------------------------

    def keep_upload(self, upload: Mapping[str, str]) -> None:
        """Put down what aborts an unfinished upload, for a later try."""
        with self._writing() as connection:
            connection.execute("INSERT INTO upload (value) VALUES (?)", (_json(upload),))

    def uploads(self) -> list[tuple[int, Mapping[str, str]]]:
        return [(row[0], jsonio.loads(row[1])) for row in self._rows("SELECT id, value FROM upload ORDER BY id")]

    def remove_upload(self, number: int) -> None:
        with self._writing() as connection:
            connection.execute("DELETE FROM upload WHERE id = ?", (number,))

    # --- events and facts -------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        with self._writing() as connection:
            _append(connection, event)

    def tell_of(self, container: Container, status: str) -> None:
        """An event of a container that changes nothing of its state."""
        with self._writing() as connection:
            _tell(connection, container, status)

    def events(self, *, after: int = 0, since: float = 0.0) -> list[tuple[int, Event]]:
        """The events with a number above ``after`` and not before ``since`` (seconds since the epoch), oldest first."""
        rows = self._rows("SELECT seq, value FROM event WHERE seq > ? AND time >= ? ORDER BY seq", after, since)
        return [(row[0], jsonio.decode(Event, jsonio.loads(row[1]))) for row in rows]

    def last_event(self) -> int:
        return int(self._rows("SELECT coalesce(max(seq), 0) FROM event")[0][0])

    def meta(self, name: str) -> str | None:
        rows = self._rows("SELECT value FROM meta WHERE key = ?", name)
        return str(rows[0][0]) if rows else None

    def put_meta(self, name: str, value: str) -> None:
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def _json(value: object) -> str:
    return jsonio.dumps(jsonio.encode(value))


def _container(row: tuple[Any, ...]) -> Container:
    return Container(
        jsonio.decode(ContainerConfig, jsonio.loads(row[0])), jsonio.decode(ContainerState, jsonio.loads(row[1]))
    )


def _no_container(ref: str) -> NotFound:
    return NotFound(f'no container with name or ID "{ref}" found: no such container', hint="pyodcr ps --all lists them")


def _put_operation(connection: sqlite3.Connection, operation: Operation) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO operation VALUES (?, ?, ?)", (operation.id, operation.container, _json(operation))
    )


def _keep_exit_code(connection: sqlite3.Connection, container: Container) -> None:
    now = time.time()
    connection.execute(
        "DELETE FROM exit_code WHERE time < ? AND container NOT IN (SELECT id FROM container)",
        (now - EXIT_CODE_KEPT_S,),
    )
    connection.execute(
        "INSERT OR REPLACE INTO exit_code VALUES (?, ?, ?)", (container.id, container.state.exit_code, now)
    )


def _tell(connection: sqlite3.Connection, container: Container, status: str) -> None:
    attributes: Mapping[str, str] = container.config.labels
    _append(
        connection,
        Event(
            time=jsonio.now(),
            type="container",
            status=status,
            id=container.id,
            name=container.name,
            image=container.config.image_name,
            exit_code=container.state.exit_code if status == "died" else None,
            attributes=attributes,
        ),
    )


def _append(connection: sqlite3.Connection, event: Event) -> None:
    cursor = connection.execute("INSERT INTO event (time, value) VALUES (?, ?)", (event.time.timestamp(), _json(event)))
    if cursor.lastrowid and cursor.lastrowid % 1000 == 0:
        connection.execute("DELETE FROM event WHERE seq <= ?", (cursor.lastrowid - EVENTS_KEPT,))
