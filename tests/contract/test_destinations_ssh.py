"""Bad days of ssh: a real sshd that is away, refuses, dies or falls asleep, and a far side whose tools misbehave."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from pyodcr.checkpoint.destinations import Destination, Upload, abort, resolve
from pyodcr.checkpoint.destinations.gaps import PatientUpload
from pyodcr.config import Config
from pyodcr.errors import DestinationError, ToolNotFound
from pyodcr.linux import mounts
from tests.contract.places import configured, files, ssh_settings
from tests.support.box import wait_for
from tests.support.sshserver import ALIAS, SshServer, serve

MIB = 1 << 20
MORE_THAN_BUFFERS = bytes(64 * MIB)
CONTENT = os.urandom(3 * MIB)


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    directory = tmp_path / "archives"
    directory.mkdir()
    return directory


@pytest.fixture
def config(ssh_server: SshServer, tmp_path: Path) -> Config:
    return configured(tmp_path, ssh_settings(ssh_server))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[SshServer]:
    """A server that a test may break."""
    (tmp_path / "own").mkdir()
    with serve(tmp_path / "own") as server:
        yield server


def impatient(server: SshServer, tmp_path: Path) -> Config:
    return configured(tmp_path, ssh_settings(server, timeout_s=1))


def archive(directory: Path, config: Config, name: str = "c") -> Destination:
    return resolve(f"ssh://{ALIAS}{directory}/{name}", config)


def store(destination: Destination, content: bytes = CONTENT) -> None:
    with destination.put() as upload:
        upload.write(content)
        upload.commit()


def fetch(destination: Destination) -> bytes:
    with destination.open() as stream:
        return stream.read()


def refusal(destination: Destination) -> DestinationError:
    """Every verb is refused alike; checking is the one that matters."""
    with pytest.raises(DestinationError) as stored:
        store(destination)
    with pytest.raises(DestinationError) as caught:
        destination.check()
    assert (stored.value.code, stored.value.message) == (caught.value.code, caught.value.message)
    return caught.value


# Refused from the beginning


def test_a_missing_directory(archives: Path, config: Config) -> None:
    missing = archive(archives / "none", config)
    error = refusal(missing)
    assert error.code == "destination-not-found"
    assert error.message == f"cannot write {missing.url}: no such file or directory"
    assert missing.stat() is None
    assert list(missing.list()) == []
    assert not (archives / "none").exists()


def test_a_directory_is_no_archive(archives: Path, config: Config) -> None:
    (archives / "c").mkdir()
    assert refusal(archive(archives, config)).message.endswith("is a directory")
    assert archive(archives, config).stat() is None
    with pytest.raises(DestinationError, match="is a directory"):
        fetch(archive(archives, config))
    with pytest.raises(DestinationError, match="is a directory"):
        archive(archives, config).delete()
    assert (archives / "c").is_dir()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounts.mount("tmpfs", disk, "tmpfs", options="size=4m")
    try:
        yield disk
    finally:
        mounts.unmount(disk)


def test_a_full_disk(small_disk: Path, config: Config) -> None:
    store(archive(small_disk, config), b"old")
    with pytest.raises(DestinationError) as caught:
        store(archive(small_disk, config), MORE_THAN_BUFFERS)
    assert caught.value.code == "no-space"
    assert caught.value.message == f"cannot write {archive(small_disk, config).url}: no space left on device"
    assert (small_disk / "c").read_bytes() == b"old"
    wait_for(lambda: files(small_disk) == ["c"], "the space to be free again")
    (small_disk / "filled").write_bytes(bytes(4 * MIB - 4096))
    assert refusal(archive(small_disk, config)).code == "no-space"  # known before a byte of ours is sent
    assert files(small_disk) == ["c", "filled"]


def test_a_read_only_disk(small_disk: Path, config: Config) -> None:
    mounts.mount("tmpfs", small_disk, "tmpfs", mounts.MS_REMOUNT | mounts.MS_RDONLY)
    error = refusal(archive(small_disk, config))
    assert error.code == "destination-denied"
    assert error.message.endswith("read-only file system")


def test_an_unknown_host_key(own: SshServer, archives: Path, tmp_path: Path) -> None:
    (own.root / "known_hosts").write_text("")
    error = refusal(archive(archives, impatient(own, tmp_path)))
    assert error.code == "destination-denied"
    assert error.message.endswith("the key of the host is not known")
    assert error.hint == "log in once by hand and compare the key: ssh far"


def test_another_host_key(own: SshServer, archives: Path, tmp_path: Path) -> None:
    hosts = own.root / "known_hosts"
    hosts.write_text(f"{hosts.read_text().split()[0]} {(own.root / 'user.pub').read_text()}")
    error = refusal(archive(archives, impatient(own, tmp_path)))
    assert error.code == "destination-denied"
    assert error.message.endswith("the key of the host is not the one that is known")


def test_a_key_that_is_not_welcome(own: SshServer, archives: Path, tmp_path: Path) -> None:
    (own.root / "authorized").write_text("")
    error = refusal(archive(archives, impatient(own, tmp_path)))
    assert error.code == "destination-denied"
    assert error.message.endswith("the host does not let us in")


def test_nobody_listens(own: SshServer, archives: Path, tmp_path: Path) -> None:
    own.kill()
    error = refusal(archive(archives, impatient(own, tmp_path)))
    assert error.code == "destination-unreachable"
    assert error.message.endswith("connection refused")


def test_a_name_that_nobody_knows(config: Config) -> None:
    error = refusal(resolve("ssh://no-such-host.invalid/c", config))
    assert error.code == "destination-unreachable"
    assert error.message == "cannot write ssh://no-such-host.invalid/c: the name of the host is unknown"


def test_an_account_without_a_shell(archives: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with serve(tmp_path / "own", options=["ForceCommand internal-sftp"]) as server:
        error = refusal(archive(archives, configured(tmp_path, ssh_settings(server))))
    assert error.code == "destination-failed"
    assert "no shell for us: This service allows sftp connections only." in error.message


def test_ssh_is_not_installed(archives: Path, tmp_path: Path) -> None:
    nothing = configured(tmp_path, '[plugin.ssh]\ncommand = ["no-such-ssh"]\n')
    with pytest.raises(ToolNotFound):
        archive(archives, nothing).check()


# Names


@pytest.mark.parametrize("name", ["-rf", "a b", "it's", 'a"b', "a\nb\n", "$(touch x)`touch y`", "*", "a\\tb", "!!"])
def test_names_that_a_shell_could_stumble_over(archives: Path, config: Config, name: str) -> None:
    place = archive(archives, config, name)
    store(place)
    assert fetch(place) == CONTENT
    assert files(archives) == [name]
    assert [info.url for info in archive(archives, config).list(name[:2])] == [place.url]
    place.delete()
    assert files(archives) == []


def test_a_path_in_the_home_directory(config: Config, tmp_path: Path) -> None:
    name = f"pyodcr-{os.getpid()}"
    place = resolve(f"ssh://{ALIAS}/~/{name}", config)
    try:
        store(place)
        assert (Path.home() / name).read_bytes() == CONTENT
        assert [info.url for info in place.list(name)] == [place.url]
        assert fetch(place) == CONTENT
    finally:
        (Path.home() / name).unlink()


def test_a_link_is_written_through(archives: Path, config: Config) -> None:
    (archives / "real").mkdir()
    (archives / "c").symlink_to("real/file")
    store(archive(archives, config))
    assert (archives / "c").is_symlink()
    assert (archives / "real/file").read_bytes() == CONTENT
    assert files(archives / "real") == ["file"]


def test_what_login_scripts_say_is_not_ours(archives: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "noise").write_text("echo welcome; echo 'to you' >&2; printf '\\0failed\\0'\n")
    with serve(tmp_path / "own", environment={"BASH_ENV": str(tmp_path / "noise")}) as server:
        noisy = configured(tmp_path, ssh_settings(server))
        store(archive(archives, noisy))
        assert fetch(archive(archives, noisy)) == CONTENT


# In the middle of an upload


def failure(destination: Destination, what_befalls: Callable[[Upload], object]) -> DestinationError:
    """What an upload ends with."""

    def run() -> None:
        with destination.put() as upload:
            what_befalls(upload)

    with pytest.raises(DestinationError) as caught:
        run()
    return caught.value


def test_sshd_dies(own: SshServer, archives: Path, tmp_path: Path) -> None:
    def die(upload: Upload) -> None:
        upload.write(CONTENT)
        own.kill()
        upload.write(MORE_THAN_BUFFERS)

    store(archive(archives, impatient(own, tmp_path)))
    error = failure(archive(archives, impatient(own, tmp_path)), die)
    assert error.code == "destination-unreachable"
    assert error.hint is not None
    assert "an unfinished upload" in error.hint
    wait_for(lambda: files(archives) == ["c"], "the far side to clean up by itself")
    assert (archives / "c").read_bytes() == CONTENT


def test_an_sshd_that_falls_asleep(own: SshServer, archives: Path, tmp_path: Path) -> None:
    sleeping: list[int] = []

    def sleep(upload: Upload) -> None:
        sleeping.extend(own.stop_sessions())
        upload.write(MORE_THAN_BUFFERS)

    error = failure(archive(archives, impatient(own, tmp_path)), sleep)
    assert error.code == "destination-unreachable"
    assert error.message.endswith("the host was silent for 1 s")
    assert files(archives) == []
    for pid in sleeping:
        os.kill(pid, signal.SIGCONT)


def test_ssh_notices_a_host_that_does_not_answer(own: SshServer, archives: Path, tmp_path: Path) -> None:
    """By its own keep-alive, long before our patience ends, and also while nothing is sent."""
    alive = '"-oServerAliveInterval=1", "-oServerAliveCountMax=1"'  # options of the user's own win
    command = f'command = ["ssh", "-F", "{own.config}", {alive}]\ntimeout_s = 250\n'
    sleeping: list[int] = []

    def sleep(upload: Upload) -> None:
        sleeping.extend(own.stop_sessions())
        upload.write(b"little")
        upload.commit()

    error = failure(archive(archives, configured(tmp_path, f"[plugin.ssh]\n{command}")), sleep)
    assert error.code == "destination-unreachable"
    assert error.message.endswith("the host does not answer any more")
    assert files(archives) == []
    for pid in sleeping:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("size", [6, len(MORE_THAN_BUFFERS)], ids=["at-the-end", "in-the-middle"])
def test_a_disk_that_hangs(own: SshServer, archives: Path, tmp_path: Path, size: int) -> None:
    """sshd lives and answers, but the program that writes is stuck."""
    writers: list[int] = []

    def hang(upload: Upload) -> None:
        writers.extend(wait_for(lambda: own.programs("bs=1M"), "dd"))
        for pid in writers:
            os.kill(pid, signal.SIGSTOP)
        upload.write(bytes(size))
        upload.commit()

    error = failure(archive(archives, impatient(own, tmp_path)), hang)
    assert error.code == "destination-unreachable"
    assert error.message.endswith("the host was silent for 1 s")
    assert files(archives) == []
    for pid in writers:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in writers), "it to end")
    # woken up, it has nothing any more to make an archive of; one that was stopped before it opened its file removes it
    wait_for(lambda: files(archives) == [], "nothing to be left")


def test_a_failed_upload_stays_failed(own: SshServer, archives: Path, tmp_path: Path) -> None:
    def try_on(upload: Upload) -> None:
        own.kill()
        for data in (MORE_THAN_BUFFERS, b"more"):
            with pytest.raises(DestinationError):
                upload.write(data)
        upload.commit()

    failure(archive(archives, impatient(own, tmp_path)), try_on)
    assert "c" not in files(archives)


def test_bytes_that_come_late_wait_nowhere(archives: Path, config: Config) -> None:
    with archive(archives, config).put() as upload:
        assert isinstance(upload, PatientUpload)
        fills = [upload.reserve(5) for _ in range(3)]
        upload.write(CONTENT)
        for word, fill in zip((b"third", b"secnd", b"first"), reversed(fills), strict=True):
            fill(word)
        upload.commit()
    assert (archives / "c").read_bytes() == b"firstsecndthird" + CONTENT


def test_abort_says_when_the_host_is_away(own: SshServer, archives: Path, tmp_path: Path) -> None:
    away = impatient(own, tmp_path)
    with archive(archives, away).put() as upload:
        recovery = upload.recovery()
    own.kill()
    with pytest.raises(DestinationError) as caught:
        abort(recovery, away)
    assert caught.value.code == "destination-unreachable"
    own.start()
    abort(recovery, away)


def test_a_thread_that_is_stuck_is_left_behind(own: SshServer, archives: Path, tmp_path: Path) -> None:
    """Its write ends with the upload, though the host would take bytes again."""
    ends: list[str] = []

    def write(upload: Upload) -> None:
        with pytest.raises(DestinationError) as caught:
            upload.write(MORE_THAN_BUFFERS)
        ends.append(caught.value.code)

    with archive(archives, configured(tmp_path, ssh_settings(own))).put() as upload:
        sleeping = own.stop_sessions()
        thread = threading.Thread(target=write, args=(upload,))
        thread.start()
        wait_for(lambda: _sleeps_in_poll(thread), "the thread to be stuck")
    thread.join()
    assert ends == ["destination-unreachable"]
    for pid in sleeping:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: files(archives) == [], "the far side to clean up")


def _sleeps_in_poll(thread: threading.Thread) -> bool:
    return "poll" in Path(f"/proc/self/task/{thread.native_id}/wchan").read_text()


# A far side whose tools misbehave: each is a script that comes first on the sessions' PATH

Misbehave = Callable[[str, str], AbstractContextManager[Config]]
# The sshd that holds the connection: the program calls mv in a subshell, to hear what it says.
SESSION = "$(ps -o ppid= -p $(ps -o ppid= -p $PPID))"


@pytest.fixture
def misbehaving(tmp_path: Path) -> Misbehave:
    @contextmanager
    def misbehave(tool: str, script: str) -> Iterator[Config]:
        for name in ("own", "tools"):
            (tmp_path / name).mkdir()
        wrapper = tmp_path / "tools" / tool
        wrapper.write_text(f"#!/bin/sh\nPATH=/usr/bin\n{script}\n")
        wrapper.chmod(0o700)
        with serve(tmp_path / "own", environment={"PATH": f"{tmp_path}/tools:/usr/bin"}) as server:
            yield configured(tmp_path, ssh_settings(server))

    return misbehave


def test_a_commit_without_answer_that_happened(archives: Path, misbehaving: Misbehave) -> None:
    with misbehaving("mv", f'mv "$@"; kill -9 {SESSION}') as config:
        store(archive(archives, config))
        assert fetch(archive(archives, config)) == CONTENT
        assert files(archives) == ["c"]


def test_a_commit_without_answer_that_did_not_happen(archives: Path, misbehaving: Misbehave) -> None:
    (archives / "c").write_bytes(b"old")
    late = f'kill -9 {SESSION}; while [ -e "$2" ]; do sleep 0.05; done; mv "$@"; echo $? > {archives}/late'
    with misbehaving("mv", late) as config:
        with pytest.raises(DestinationError) as caught:
            store(archive(archives, config))
        assert caught.value.code == "destination-unreachable"
        wait_for(lambda: "late" in files(archives), "the late mv")
        wait_for(lambda: (archives / "late").read_text() == "1\n", "it to fail")
        assert (archives / "c").read_bytes() == b"old"
        assert files(archives) == ["c", "late"]


def test_bytes_that_get_lost(archives: Path, misbehaving: Misbehave) -> None:
    with misbehaving("dd", 'case "$*" in *bs=1M*fsync) dd bs=1 count=10 of=/dev/null; esac; exec dd "$@"') as config:
        with pytest.raises(DestinationError) as caught:
            store(archive(archives, config))
        assert caught.value.code == "destination-failed"
        sent = len(CONTENT) + 72  # the end of it
        assert caught.value.message.endswith(f"{sent - 10} bytes arrived, {sent} were sent")
        assert files(archives) == []


def test_a_disk_that_does_not_sync(archives: Path, misbehaving: Misbehave) -> None:
    lying = 'dd "$@" || exit; case "$*" in *bs=1M*fsync) echo "dd: fsync failed: Input/output error" >&2; exit 1; esac'
    with misbehaving("dd", lying) as config:
        with pytest.raises(DestinationError) as caught:
            store(archive(archives, config))
        assert caught.value.message.endswith("fsync failed: Input/output error")
        assert files(archives) == []


# Reading


def test_a_broken_read_goes_on_where_it_was(own: SshServer, archives: Path, tmp_path: Path) -> None:
    content = os.urandom(40 * MIB)
    (archives / "c").write_bytes(content)
    with archive(archives, impatient(own, tmp_path)).open() as stream:
        begin = stream.read(MIB)
        for pid in own.sessions():
            os.kill(pid, signal.SIGKILL)
        assert begin + stream.read() == content


def test_a_read_that_stays_broken(own: SshServer, archives: Path, tmp_path: Path) -> None:
    (archives / "c").write_bytes(MORE_THAN_BUFFERS)
    with archive(archives, impatient(own, tmp_path)).open() as stream:
        own.kill()
        with pytest.raises(DestinationError) as caught:
            stream.read()
    assert caught.value.code == "destination-unreachable"


def test_no_stream_is_made_of_two_files(archives: Path, config: Config) -> None:
    store(archive(archives, config))
    with archive(archives, config).open() as stream:
        stream.read(10)
        store(archive(archives, config), os.urandom(len(CONTENT)))
        stream.seek(2 * MIB)
        with pytest.raises(DestinationError, match="replaced while it was read"):
            stream.read()
