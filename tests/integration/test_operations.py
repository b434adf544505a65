"""Other commands and an operation that is under way, or that nobody will finish: busy, cancel, list, sweep."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from pyodcr.lifecycle.operations import LET_RUN, Step
from tests.support.box import Box, wait_for
from tests.support.checkpoints import Counter, assert_undisturbed, held, kill, operations, start_counter, until_dead

pytestmark = pytest.mark.root


@pytest.fixture
def counter(one_box: Box, tree: Path) -> Counter:
    return start_counter(one_box, tree)


def listed(box: Box) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(box.run("system", "operations", "--format", "json"))
    return found


@pytest.mark.parametrize("words", [("stop", "-t", "0"), ("kill",), ("rm",)], ids=lambda words: words[0])
def test_who_insists_cancels_a_checkpoint(counter: Counter, words: tuple[str, ...]) -> None:
    box = counter.box
    with held(counter) as checkpoint:
        verb, *options = words
        assert box.run(verb, *options, "--force", counter.name) == counter.name
        _, said = checkpoint.command.communicate(timeout=30)
    assert checkpoint.command.returncode == 128 + signal.SIGTERM, said
    assert operations(box) == []
    if verb == "rm":
        assert box.containers() == []
    else:
        wait_for(lambda: box.state(counter.name) == "exited", "it to be cleaned up")
        assert not box.inspect(counter.name)["State"].get("Checkpointed", False)


def test_an_owner_that_does_not_hear_is_killed(counter: Counter) -> None:
    with held(counter) as checkpoint:
        checkpoint.command.send_signal(signal.SIGSTOP)
        assert counter.box.run("kill", "--force", "-s", "CONT", counter.name) == counter.name
        assert checkpoint.command.wait(10) == -signal.SIGKILL
    counter.moves()
    wait_for(lambda: not operations(counter.box), "the operation to be closed")
    assert_undisturbed(counter)


def test_without_an_operation_force_is_nothing(counter: Counter) -> None:
    assert counter.box.run("stop", "--force", "-t", "0", counter.name) == counter.name


def test_they_are_listed(counter: Counter) -> None:
    """A living one, and one whose owner is dead and whose guard is too; the sweep does what the list has told."""
    box = counter.box
    assert box.run("system", "operations", "--noheading") == ""
    with held(counter) as checkpoint:
        (row,) = listed(box)
        assert (row["Kind"], row["Container"], row["Stage"]) == ("checkpoint", counter.name, "holding")
        assert (row["Owner"], row["OwnerLives"], row["Steps"]) == (checkpoint.command.pid, True, [])
        assert f"wait for process {checkpoint.command.pid}" in box.run("system", "operations")
        kill(box, checkpoint.command, guarded=False)
        until_dead(checkpoint.criu)
    (row,) = listed(box)
    assert not row["OwnerLives"]
    assert row["Steps"] == [*LET_RUN, Step.ABORT_UPLOAD, Step.REMOVE_STAGING, Step.CLOSE]
    heading, line = box.run("system", "operations").splitlines()
    assert heading.split()[:4] == ["OPERATION", "KIND", "CONTAINER", "STAGE"]
    assert "freeze, unlock-network, end-tcp-repair, thaw" in line
    assert box.run("system", "operations", "--format", "{{.ID}}") == row["ID"], "looking changes nothing"
    assert f"operation: checkpoint of {counter.id}" in box.run("system", "prune", "--force")
    assert listed(box) == []
    counter.moves()
    assert_undisturbed(counter)
