"""Sizes, signals, restart policies, log options, sysctls, ulimits: one word in, one value out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyodcr.errors import UsageError
from pyodcr.lifecycle.spec import logs, names, restart, rlimits, signals, sizes, sysctls


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512b", 512),
        ("64k", 65536),
        ("64KB", 65536),
        ("64KiB", 65536),
        ("1.5g", 1610612736),
        (".5m", 524288),
        ("10 mb", 10485760),
        ("2T", 2199023255552),
        ("1152921504606846977", 2**60 + 1),
    ],
)
def test_a_size_has_binary_prefixes(text: str, size: int) -> None:
    assert sizes.binary(text, "memory") == size


def test_a_decimal_size_has_prefixes_of_a_thousand() -> None:
    assert sizes.decimal("10kb", "max-size") == 10_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid value for memory: invalid size: ''"),
        ("lots", "invalid value for memory: invalid size: 'lots'"),
        ("-1", "invalid value for memory: invalid size: '-1'"),
        ("1x", "invalid value for memory: invalid suffix: 'x'"),
        ("1kbb", "invalid value for memory: invalid suffix: 'kbb'"),
        ("1bb", "invalid value for memory: invalid suffix: 'bb'"),
        ("9999999p", "invalid value for memory: 9999999p is too large"),
    ],
)
def test_a_size_that_is_none_is_refused_in_podmans_words(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        sizes.binary(text, "memory")
    assert caught.value.message == message


@given(st.text())
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (lambda word: sizes.binary(word, "memory"), signals.parse, lambda word: restart.parse(word, rm=False)):
        with suppress(UsageError):
            parse(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9", 9),
        ("TERM", 15),
        ("sigterm", 15),
        ("-HUP", 1),
        ("SIGRTMIN+3", 37),
        ("RTMAX-1", 63),
        ("rtmin", 34),
        ("64", 64),
    ],
)
def test_a_signal_is_a_number_or_a_name(text: str, number: int) -> None:
    assert signals.parse(text) == number


@pytest.mark.parametrize("text", ["0", "65", "", "SIG", "TERMINATE", "RTMIN+40", "RTMAX+1", "+9"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        signals.parse(text)


def test_every_signal_has_a_name_that_reads_back() -> None:
    assert [signals.parse(signals.name(number)) for number in range(1, 65)] == list(range(1, 65))


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", ("", 0)),
        ("no", ("no", 0)),
        ("never", ("no", 0)),
        ("on-failure", ("on-failure", 0)),
        ("on-failure:3", ("on-failure", 3)),
        ("unless-stopped", ("unless-stopped", 0)),
    ],
)
def test_restart_policies(text: str, policy: tuple[str, int]) -> None:
    assert restart.parse(text, rm=False) == policy


@pytest.mark.parametrize(
    ("text", "rm"), [("sometimes", False), ("always:3", False), ("on-failure:x", False), ("always", True)]
)
def test_restart_policies_that_make_no_sense(text: str, rm: bool) -> None:
    with pytest.raises(UsageError):
        restart.parse(text, rm=rm)


def test_json_file_is_another_name_of_our_log() -> None:
    log = logs.parse("json-file", ["max-size=10mb"], Path("/bundle/ctr.log"))
    assert log == logs.Log("k8s-file", "/bundle/ctr.log", 10_000_000)


def test_without_a_log_there_is_no_path() -> None:
    assert logs.parse("none", ["path=/x"], Path("/bundle/ctr.log")) == logs.Log("none", "", 0)


@pytest.mark.parametrize(
    ("driver", "options"), [("journald", []), ("passthrough", []), ("", ["max-size"]), ("", ["colour=red"])]
)
def test_logs_we_cannot_write_are_refused(driver: str, options: list[str]) -> None:
    with pytest.raises(UsageError):
        logs.parse(driver, options, Path("/bundle/ctr.log"))


def test_sysctls_of_the_containers_namespaces_are_allowed() -> None:
    found = sysctls.parse(["net.core.somaxconn=8", "kernel.sem=1 2 3 4"], host_ipc=False, host_network=False)
    assert found == {"net.core.somaxconn": "8", "kernel.sem": "1 2 3 4"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("net.core.somaxconn", "net.core.somaxconn is invalid, sysctl values must be in the form of KEY=VALUE"),
        ("net.a = 1", "'net.a = 1' is invalid, extra spaces found"),
        ("vm.swappiness=1", "sysctl 'vm.swappiness' is not allowed"),
        ("net.a=1", "sysctl net.a=1 can't be set since Network Namespace set to host"),
        ("fs.mqueue.msg_max=1", "sysctl fs.mqueue.msg_max=1 can't be set since IPC Namespace set to host"),
    ],
)
def test_sysctls_of_the_host_are_refused(setting: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        sysctls.parse([setting], host_ipc=True, host_network=True)
    assert caught.value.message == message


def _limits(*ulimits: str, **ceilings: int) -> dict[str, tuple[int, int]]:
    return {each["type"]: (each["soft"], each["hard"]) for each in rlimits.parse(ulimits, ceilings)}


def test_every_container_has_the_default_limits_as_far_as_we_may_give_them() -> None:
    assert _limits(RLIMIT_NOFILE=20000) == {"RLIMIT_NOFILE": (20000, 20000), "RLIMIT_NPROC": (1048576, 1048576)}


def test_ulimits_as_typed() -> None:
    found = _limits("nofile=10:20", "RLIMIT_CORE=-1", "stack=5")
    assert found["RLIMIT_NOFILE"] == (10, 20)
    assert found["RLIMIT_CORE"] == (2**64 - 1, 2**64 - 1)
    assert found["RLIMIT_STACK"] == (5, 5)


def test_ulimit_host_sets_none() -> None:
    assert _limits("host", "nofile=10") == {}


@pytest.mark.parametrize(
    "text", ["nofile", "files=1", "nofile=1:2:3", "nofile=a", "nofile=5:4", "nofile=-1:4", "core=-2"]
)
def test_ulimits_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        rlimits.parse([text], {})
    assert text.removeprefix("nofile=") in caught.value.message


def test_a_name_may_have_dockers_slash() -> None:
    assert names.validate("/web-1.x_y") == "web-1.x_y"


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "é", "a\n"])
def test_invalid_names_are_refused_in_podmans_words(name: str) -> None:
    with pytest.raises(UsageError, match=r"names must match \[a-zA-Z0-9\]\[a-zA-Z0-9_.-\]\*: invalid argument"):
        names.validate(name)


def test_generated_names_are_valid_and_avoid_the_taken_ones() -> None:
    taken: set[str] = set()
    for _ in range(300):
        name = names.generate(taken.__contains__)
        assert names.validate(name) == name
        assert name not in taken
        taken.add(name)


def test_names_do_not_run_out() -> None:
    assert names.generate(lambda name: not name[-1].isdigit())[-1].isdigit()
