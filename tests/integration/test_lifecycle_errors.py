"""What is refused, in which words and with which exit status; and that a refusal changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.box import Box

pytestmark = pytest.mark.root

FOREVER = 'trap "exit 0" TERM; while :; do sleep 0.05; done'
IMPROPER = ": container state improper"


@pytest.fixture
def states(one_box: Box, tree: Path) -> Box:
    """Containers named after the state they are in."""
    words = ("--network", "none", "--rootfs", f"{tree}:O", "sh", "-c", FOREVER)
    for name in ("running", "paused", "exited"):
        one_box.run("run", "-d", "--name", name, *words)
    one_box.run("create", "--name", "created", *words)
    one_box.run("pause", "paused")
    one_box.run("stop", "-t", "0", "exited")
    return one_box


def test_wrong_states(states: Box) -> None:
    said = {
        ("start", "paused"): "container paused must be in Created or Stopped state to be started, it is paused",
        ("stop", "paused"): "can only stop created or running containers, paused is in state paused",
        ("kill", "created"): "can only kill running containers. created is in state created",
        ("kill", "exited"): "can only kill running containers. exited is in state exited",
        ("pause", "created"): '"created" is not running, can\'t pause container created',
        ("pause", "exited"): '"exited" is not running, can\'t pause container exited',
        ("pause", "paused"): '"paused" is already paused',
        ("unpause", "running"): '"running" is not paused, can\'t unpause',
        ("unpause", "created"): '"created" is not paused, can\'t unpause',
        ("restart", "paused"): "unable to restart a container in a paused or unknown state: paused is paused",
        ("attach", "exited"): "you can only attach to running containers: exited is exited",
        ("attach", "paused"): "you can only attach to running containers: paused is paused",
        ("checkpoint", "created"): '"created" is not running, cannot checkpoint container created',
        ("checkpoint", "exited"): '"exited" is not running, cannot checkpoint container exited',
        ("checkpoint", "paused"): '"paused" is not running, cannot checkpoint container paused',
        ("restore", "running"): "container running is running or paused, cannot restore",
        ("restore", "paused"): "container paused is running or paused, cannot restore",
    }
    for (verb, name), text in said.items():
        assert states.fail(verb, name, code="wrong-state")["error"] == text + IMPROPER, (verb, name)
    for name in ("created", "exited", "paused"):
        error = states.fail("exec", name, "true", code="wrong-state")
        assert error["error"] == f"can only create exec sessions on running containers: {name} is {name}{IMPROPER}"
    for name in ("running", "paused"):
        error = states.fail("rm", name, status=2, code="wrong-state")
        assert error["error"] == (
            f"cannot remove container {name} as it is {name} - "
            f"running or paused containers cannot be removed without force{IMPROPER}"
        )
        assert "--force" in error["hint"]
    assert {name: states.state(name) for name in said_names(said)} == {name: name for name in said_names(said)}


def said_names(said: dict[tuple[str, str], str]) -> set[str]:
    return {name for _, name in said}


def test_what_is_done_already_is_no_error(states: Box) -> None:
    pid = states.inspect("running")["State"]["Pid"]
    assert states.run("start", "running") == "running"
    assert states.inspect("running")["State"]["Pid"] == pid
    assert states.run("stop", "exited", "created").split() == ["exited", "created"]
    assert [states.state(name) for name in ("exited", "created")] == ["exited", "created"]


@pytest.mark.parametrize(
    "words",
    [
        ("start",), ("stop",), ("kill",), ("pause",), ("unpause",), ("restart",), ("wait",), ("attach",), ("logs",),
        ("inspect",), ("checkpoint",), ("restore",), ("diff",), ("mount",),
    ],
)  # fmt: skip
def test_unknown_container(one_box: Box, words: tuple[str, ...]) -> None:
    error = one_box.fail(*words, "nobody", code="not-found")
    assert 'no container with name or ID "nobody" found' in error["error"] or words == ("inspect",)


def test_removal_of_what_is_not_there(one_box: Box) -> None:
    one_box.fail("rm", "nobody", status=1, code="not-found")
    one_box.run("rm", "--ignore", "nobody")
    one_box.run("rm", "--force", "nobody")
    one_box.fail("exec", "nobody", "true", code="not-found")


def test_one_of_several(states: Box) -> None:
    done = states.call("rm", "nobody", "exited", "running", "created")
    assert done.returncode == 2, "the last failure gives the status"
    assert done.stdout.split() == [b"exited", b"created"]
    assert done.stderr.count(b"error:") == 2
    done = states.call("stop", "-t", "0", "nobody", "running")
    assert (done.returncode, done.stdout) == (125, b"running\n")


def test_ambiguous_id(one_box: Box, tree: Path) -> None:
    made: dict[str, str] = {}
    while True:
        identity = one_box.run("create", "--network", "none", "--rootfs", f"{tree}:O", "true")
        if identity[0] in made:
            break
        made[identity[0]] = identity
    error = one_box.fail("start", identity[0], code="ambiguous")
    assert f'ID beginning with "{identity[0]}"' in error["error"]
    assert one_box.run("rm", identity[:12]) == identity[:12]
    one_box.run("start", made[identity[0]][:12])


def test_names(one_box: Box, tree: Path) -> None:
    words = ("--network", "none", "--rootfs", f"{tree}:O", "true")
    identity = one_box.run("create", "--name", "taken", *words)
    error = one_box.fail("create", "--name", "taken", *words, code="name-taken")
    assert f'the container name "taken" is already in use by {identity[:12]}' in error["error"]
    one_box.fail("run", "--name", "taken", *words, code="name-taken")
    one_box.fail("create", "--name", "../escape", *words, code="usage")
    assert one_box.containers() == [identity]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--network", "container:nobody"), "not-found"),
        (("--network", "nowhere"), "not-found"),
        (("--memory", "much"), "usage"),
        (("--user", "nobody-here"), None),
        (("-v", "/not/here:/data"), None),
        (("--runtime-that-is-none",), None),
        (("-p", "99999:80"), "usage"),
        (("--stop-signal", "SIGNOTHING"), "usage"),
        (("--security-opt", "seccomp=/not/here"), None),
    ],
)
def test_bad_wishes_leave_nothing(one_box: Box, tree: Path, options: tuple[str, ...], code: str | None) -> None:
    done = one_box.call("run", "--rm", *options, "--rootfs", f"{tree}:O", "true")
    assert done.returncode == 125, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"bug in pyodcr" not in done.stderr
    assert done.stderr.startswith(b"error: ")
    if code:
        one_box.fail("run", "--rm", *options, "--rootfs", f"{tree}:O", "true", code=code)
    assert not one_box.containers()


def test_a_root_filesystem_that_is_not_there(box: Box) -> None:
    for name, rootfs in (("plain", "/not/here"), ("overlaid", "/not/here:O")):
        error = box.fail("run", "--name", name, "--network", "none", "--rootfs", rootfs, "true", code="no-rootfs")
        assert "/not/here" in error["error"]
        assert box.state(name) == "created"


def test_an_unknown_runtime(one_box: Box, tree: Path) -> None:
    one_box.runtime = "no-such-runtime"
    error = one_box.fail("run", "--network", "none", "--rootfs", f"{tree}:O", "true")
    assert "no-such-runtime" in error["error"]
    one_box.runtime = ""
    assert not one_box.containers()


def test_bad_detach_keys(states: Box) -> None:
    states.fail("attach", "--detach-keys", "ctrl-1", "running", code="usage")
    assert states.state("running") == "running"
