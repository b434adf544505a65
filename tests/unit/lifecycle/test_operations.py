"""What is left to undo when the owner of a checkpoint or restore has died: every case, decided purely."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import product

import pytest

from pyodcr import jsonio
from pyodcr.lifecycle.operations import (
    LET_RUN,
    Kind,
    Observation,
    Operation,
    Stage,
    Step,
    opened,
    opened_import,
    plan,
)
from pyodcr.linux import boot

TIDY = (Step.REMOVE_STAGING, Step.CLOSE)
FREE = LET_RUN
BEFORE_COMMIT = (Stage.PREPARING, Stage.DUMPING, Stage.HOLDING)
AFTER_COMMIT = (Stage.COMMITTED, Stage.FINISHING)
HANDSHAKEN = 4711


def dump(stage: Stage, *, criu_pid: int = HANDSHAKEN, leave_running: bool = False) -> Operation:
    return replace(opened(Kind.CHECKPOINT, "c", criu_pid=criu_pid, leave_running=leave_running), stage=stage)


def seen(
    *,
    alive: bool,
    criu: bool = False,
    complete: bool = False,
    restored: bool = False,
    ended_by_itself: bool = False,
) -> Observation:
    return Observation(
        init_alive=alive,
        criu_alive=criu,
        images_complete=complete,
        restored=restored,
        ended_by_itself=ended_by_itself,
    )


@pytest.mark.parametrize("stage", BEFORE_COMMIT)
def test_a_dump_that_was_refused_lets_the_container_run(stage: Stage) -> None:
    assert plan(dump(stage), seen(alive=True)) == (*FREE, Step.ABORT_UPLOAD, *TIDY)


@pytest.mark.parametrize("stage", BEFORE_COMMIT)
def test_a_criu_that_does_not_give_up_is_killed_first(stage: Stage) -> None:
    assert plan(dump(stage), seen(alive=True, criu=True)) == (Step.KILL_CRIU, *FREE, Step.ABORT_UPLOAD, *TIDY)


@pytest.mark.parametrize("stage", AFTER_COMMIT)
def test_a_committed_dump_whose_container_is_gone_is_told(stage: Stage) -> None:
    assert plan(dump(stage), seen(alive=False, complete=True)) == (Step.RECORD_CHECKPOINT, *TIDY)


@pytest.mark.parametrize("stage", AFTER_COMMIT)
def test_a_committed_dump_whose_container_runs_on_sets_it_free(stage: Stage) -> None:
    assert plan(dump(stage), seen(alive=True, complete=True)) == (*FREE, *TIDY), "its archive is not undone"


def test_a_container_that_ended_before_the_commit_has_no_checkpoint() -> None:
    """CRIU was refused, so it let go; then the container ended."""
    for complete in (True, False):
        found = plan(dump(Stage.HOLDING), seen(alive=False, complete=complete))
        assert found == (Step.ABORT_UPLOAD, *TIDY)


def test_killed_without_asking_its_images_are_the_only_copy() -> None:
    unasked = dump(Stage.DUMPING, criu_pid=0)
    found = plan(unasked, seen(alive=False, complete=True))
    assert found == (Step.RECORD_CHECKPOINT, Step.ABORT_UPLOAD, *TIDY)
    assert plan(unasked, seen(alive=False, complete=False)) == (Step.ABORT_UPLOAD, *TIDY)


@pytest.mark.parametrize("stage", [*BEFORE_COMMIT, *AFTER_COMMIT])
def test_what_ended_by_itself_or_was_to_run_on_is_not_in_a_checkpoint(stage: Stage) -> None:
    found = plan(dump(stage), seen(alive=False, complete=True, ended_by_itself=True))
    assert Step.RECORD_CHECKPOINT not in found
    leaving = dump(stage, leave_running=True)
    assert Step.RECORD_CHECKPOINT not in plan(leaving, seen(alive=False, complete=True))


@pytest.mark.parametrize("stage", [Stage.PREPARING, Stage.RESTORING])
def test_half_a_restore_is_discarded(stage: Stage) -> None:
    restore = replace(opened(Kind.RESTORE, "c"), stage=stage)
    for alive in (True, False):
        assert plan(restore, seen(alive=alive)) == (Step.DISCARD_RESTORE, *TIDY)
    imported = replace(opened_import(), stage=stage)
    found = plan(imported, seen(alive=False))
    assert found == (Step.DISCARD_RESTORE, Step.REMOVE_CONTAINER, *TIDY)


def test_a_restore_that_was_recorded_stays_and_uses_up_its_checkpoint() -> None:
    for restore in (opened(Kind.RESTORE, "c"), opened_import()):
        found = plan(replace(restore, stage=Stage.FINISHING), seen(alive=True))
        assert found == (Step.UNLOCK_NETWORK, Step.USE_UP, *TIDY)


def test_what_came_back_before_it_was_recorded_is_adopted() -> None:
    """Its files have moved on: killing it would lose what no image holds."""
    for restore in (opened(Kind.RESTORE, "c"), opened_import()):
        found = plan(replace(restore, stage=Stage.RESTORING), seen(alive=False, restored=True))
        assert found == (Step.ADOPT_RESTORED, Step.UNLOCK_NETWORK, Step.USE_UP, *TIDY)
        assert Step.DISCARD_RESTORE in plan(restore, seen(alive=False, restored=True)), "nothing was begun yet"


def test_every_plan_closes_the_operation_last_and_tidies_before() -> None:
    for kind, stage, flags in product(Kind, Stage, product((True, False), repeat=7)):
        alive, criu, complete, back, itself, imported, leave = flags
        operation = replace(opened(kind, "c", imported=imported, leave_running=leave), stage=stage)
        steps = plan(operation, seen(alive=alive, criu=criu, complete=complete, restored=back, ended_by_itself=itself))
        assert steps[-2:] == TIDY
        assert len(set(steps)) == len(steps)
        if alive and kind is Kind.CHECKPOINT:
            assert Step.RECORD_CHECKPOINT not in steps, "a container that runs has not gone into its checkpoint"
        assert (Step.DISCARD_RESTORE in steps) + (Step.USE_UP in steps) == (kind is Kind.RESTORE)


def test_an_operation_is_this_process_own() -> None:
    operation = opened(Kind.CHECKPOINT, "c", images="/run/images")
    assert operation.owner_lives
    assert (operation.owner_pid, operation.images, operation.stage) == (os.getpid(), "/run/images", Stage.PREPARING)
    assert operation.id != opened(Kind.CHECKPOINT, "c").id


def test_an_owner_of_the_same_pid_or_of_another_boot_is_dead() -> None:
    operation = opened(Kind.CHECKPOINT, "c")
    assert not replace(operation, owner_started=operation.owner_started + 1).owner_lives
    assert not replace(operation, boot_id="another").owner_lives
    assert not replace(operation, owner_pid=2**22 + 1).owner_lives
    assert operation.boot_id == boot.boot_id()


def test_an_import_stands_for_the_container_to_come() -> None:
    operation = opened_import()
    assert operation.imported
    assert operation.id in operation.container


def test_it_survives_being_written_down() -> None:
    operation = replace(
        opened(Kind.RESTORE, "c", imported=True, new_volumes=("a", "b"), upload={"bucket": "x"}), stage=Stage.RESTORING
    )
    assert jsonio.decode(Operation, jsonio.encode(operation)) == operation
