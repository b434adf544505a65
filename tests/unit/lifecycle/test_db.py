"""The durable state: what is recorded is found again, all of it or nothing, whoever else is at work."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pyodcr import jsonio
from pyodcr.errors import Ambiguous, Conflict, NotFound, SystemFailed
from pyodcr.lifecycle import db as database
from pyodcr.lifecycle.db import Database
from pyodcr.lifecycle.models import (
    Container,
    ContainerConfig,
    ContainerState,
    Event,
    ExecSession,
    Status,
    Volume,
)
from pyodcr.lifecycle.operations import Kind, Stage, opened, opened_import


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "root/state.sqlite")
    yield made
    made.close()


def container(identity: str = "a" * 64, name: str = "web") -> Container:
    return Container(ContainerConfig(id=identity, name=name, labels={"tier": "front"}), ContainerState())


def told(db: Database) -> list[str]:
    return [event.status for _, event in db.events()]


def test_what_is_added_is_found(db: Database) -> None:
    made = db.add(container(), "create")
    for ref in (made.id, made.name, "a", "aaaa"):
        assert db.find(ref) == made
    assert db.containers() == [made] == [db.get(made.id)]
    assert db.exists(made.id)
    assert not db.exists(made.name)


@pytest.mark.parametrize("ref", ["", "b", "we", "*", "a*", "?", "[a]", "'", "A" * 64, "a" * 65, "a" * 63 + "b"])
def test_what_is_not_there_is_not_found(db: Database, ref: str) -> None:
    db.add(container(), "create")
    with pytest.raises(NotFound) as caught:
        db.find(ref)
    assert f'"{ref}"' in caught.value.message


def test_the_beginning_of_two_ids(db: Database) -> None:
    first, second = container("ab" + "0" * 62, "x"), container("ac" + "0" * 62, "y")
    db.add(first, "create")
    db.add(second, "create")
    with pytest.raises(Ambiguous):
        db.find("a")
    assert db.find("ac") == second


def test_a_name_that_looks_like_an_id_wins(db: Database) -> None:
    db.add(container("ab" + "0" * 62, "x"), "create")
    named = db.add(container("cd" + "0" * 62, "ab"), "create")
    assert db.find("ab") == named


def test_names_and_ids_are_taken_once(db: Database) -> None:
    first = db.add(container(), "create")
    with pytest.raises(Conflict) as caught:
        db.add(container("b" * 64), "create")
    assert caught.value.code == "name-taken"
    assert first.config.short_id in caught.value.message
    with pytest.raises(Conflict) as caught:
        db.add(container(name="other"), "create")
    assert caught.value.code == "id-taken"
    assert told(db) == ["create"]


def test_a_change_and_its_event_are_one(db: Database) -> None:
    made = db.add(container(), "create")
    running = db.record(made, "start", status=Status.RUNNING, pid=7)
    assert (running.status, running.state.pid) == (Status.RUNNING, 7)
    assert db.get(made.id) == running
    assert told(db) == ["create", "start"]
    silent = db.record(running, pid=8)
    assert db.get(made.id) == silent
    assert told(db) == ["create", "start"]
    with pytest.raises(TypeError):
        db.record(silent, "start", no_such_field=1)
    assert told(db) == ["create", "start"]


def test_what_is_gone_cannot_be_changed(db: Database) -> None:
    made = db.add(container(), "create")
    db.remove(made)
    with pytest.raises(NotFound):
        db.record(made, "start", status=Status.RUNNING)
    assert told(db) == ["create", "remove"], "no event of what did not happen"
    assert not db.exists(made.id)


def test_all_of_a_container_goes_with_it(db: Database) -> None:
    made, other = db.add(container(), "create"), db.add(container("b" * 64, "other"), "create")
    for owner in (made, other):
        db.put_exec_session(ExecSession(id=f"session of {owner.name}", container=owner.id, command=("true",)))
        db.put_operation(opened(Kind.CHECKPOINT, owner.id))
    db.remove(made)
    assert db.exec_sessions(made.id) == []
    assert db.operation(made.id) is None
    assert [session.id for session in db.exec_sessions(other.id)] == ["session of other"]
    assert db.operation(other.id) is not None


def test_exit_codes_outlive_their_containers(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made = db.add(container(), "create")
    assert db.exit_code(made.id) is None
    ended = db.record(made, "died", status=Status.EXITED, exited=True, exit_code=3)
    db.remove(ended)
    assert db.exit_code(made.id) == 3
    monkeypatch.setattr(database, "EXIT_CODE_KEPT_S", -1)
    other = db.add(container("b" * 64, "other"), "create")
    db.record(other, "died", status=Status.EXITED, exited=True, exit_code=4)
    assert (db.exit_code(made.id), db.exit_code(other.id)) == (None, 4)
    db.record(other, status=Status.EXITED)
    assert db.exit_code(other.id) == 4, "that of a container that is there is kept for ever"


def test_a_death_is_told_with_its_exit_code(db: Database) -> None:
    made = db.add(container(), "create")
    db.record(made, "died", status=Status.STOPPED, exited=True, exit_code=137)
    event = db.events()[-1][1]
    assert (event.status, event.exit_code, event.name, event.attributes) == ("died", 137, "web", {"tier": "front"})
    db.tell_of(made, "restart")
    assert db.events()[-1][1].exit_code is None
    assert db.get(made.id).status is Status.STOPPED, "telling changes nothing"


def test_operations_come_and_go(db: Database) -> None:
    made = db.add(container(), "create", opened(Kind.RESTORE, container().id))
    operation = db.operation(made.id)
    assert operation is not None
    assert operation.owner_lives
    db.put_operation(replace(operation, stage=Stage.HOLDING, upload={"id": "7"}))
    changed = db.operation(made.id)
    assert changed is not None
    assert (changed.id, changed.stage, changed.upload) == (operation.id, Stage.HOLDING, {"id": "7"})
    imports = [opened_import(), opened_import()]
    for one in imports:
        db.put_operation(one)
    assert {one.id for one in db.operations()} == {operation.id, *(one.id for one in imports)}, "imports do not collide"
    db.remove_operation(changed)
    assert db.operation(made.id) is None


def test_volumes(db: Database) -> None:
    data = Volume(name="data", mountpoint=Path("/v/data/_data"), created_at=jsonio.now(), labels={"a": "b"})
    db.add_volume(data)
    assert db.volumes() == [data] == [db.volume("data")]
    with pytest.raises(Conflict):
        db.add_volume(data)
    db.put_volume(replace(data, needs_copy_up=True))
    found = db.volume("data")
    assert found is not None
    assert found.needs_copy_up
    db.remove_volume("data")
    assert db.volume("data") is None
    assert [(event.type, event.status) for _, event in db.events()] == [("volume", "create"), ("volume", "remove")]


def test_events_from_a_number_and_a_time_on(db: Database) -> None:
    assert db.last_event() == 0
    for status in ("a", "b", "c"):
        db.tell(Event(time=jsonio.now(), type="system", status=status))
    numbers = [number for number, _ in db.events()]
    assert [event.status for _, event in db.events(after=numbers[0])] == ["b", "c"]
    since = db.events()[2][1].time.timestamp()
    assert [event.status for _, event in db.events(since=since)] == ["c"]
    assert db.last_event() == numbers[-1]


def test_old_events_are_forgotten(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "EVENTS_KEPT", 10)
    event = Event(time=jsonio.now(), type="system", status="x")
    with db._writing() as connection:
        for _ in range(1000):
            database._append(connection, event)
    assert [number for number, _ in db.events()] == list(range(991, 1001))


def test_it_is_private_and_comes_with_its_directory(db: Database) -> None:
    db.put_meta("boot", "1")
    assert db.meta("boot") == "1"
    assert db.meta("none") is None
    for path in (db.path, db.path.with_name("state.sqlite-wal")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(db.path.parent.stat().st_mode) == 0o700


def test_a_second_connection_sees_it_at_once(db: Database) -> None:
    made = db.add(container(), "create")
    other = Database(db.path)
    assert other.get(made.id) == made
    other.record(made, "start", status=Status.RUNNING)
    assert db.get(made.id).status is Status.RUNNING
    other.close()
    other.close()


def test_readers_do_not_wait_for_a_writer(db: Database) -> None:
    made = db.add(container(), "create")
    reader = Database(db.path)
    with db._writing() as connection:
        connection.execute("UPDATE container SET status = 'running'")
        assert reader.containers() == [made]
    reader.close()


def test_a_newer_schema_is_left_alone(db: Database) -> None:
    db.put_meta("a", "b")
    db.close()
    with sqlite3.connect(db.path) as connection:
        connection.execute(f"PRAGMA user_version={database.SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(SystemFailed) as caught:
        db.containers()
    assert "newer" in caught.value.message
    assert caught.value.hint


def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(SystemFailed) as caught:
        Database(path).containers()
    assert (caught.value.code, str(path) in caught.value.message) == ("database", True)
    assert path.read_bytes().startswith(b"something else"), "and it is not touched"


def test_a_full_disk_changes_nothing_and_says_so(db: Database) -> None:
    made = db.add(container(), "create")
    (pages,) = db._connection.execute("PRAGMA page_count").fetchone()
    db._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(SystemFailed) as caught:
        db.record(made, "start", error="x" * 100_000)
    assert caught.value.code == "no-space"
    assert db.get(made.id) == made
    assert told(db) == ["create"]


def _add(path: Path, number: int) -> str:
    db = Database(path)
    try:
        db.add(container(f"{number:064x}", "same"), "create")
    except Conflict as error:
        return error.code
    finally:
        db.close()
    return "added"


def test_the_first_use_by_many_processes_at_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        answers = pool.starmap(_add, [(tmp_path / "state.sqlite", number) for number in range(12)])
    assert sorted(answers) == ["added"] + ["name-taken"] * 11
