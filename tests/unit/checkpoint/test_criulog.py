"""Each known failure, by an excerpt of a log as CRIU (3.17 to 4.2), iptables and nft write it."""

# ruff: noqa: E501 -- lines of a log are as long as they are

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyodcr.checkpoint import criulog
from pyodcr.checkpoint.criusignatures import SIGNATURES

BEFORE_DUMP = """\
(00.000000) Version: 4.2.1 (gitid 0)
(00.000103) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.000961) Loaded kdat cache from /run/criu.kdat
(00.001310) Running pre-dump scripts
(00.002215) cg: cgroup 0: /pyodcr/4ac1 is the root
"""
AFTER_DUMP = """\
(00.031870) Error (criu/cr-dump.c:1698): Dump files (pid: 2113) failed with -1
(00.031902) Waiting for 2113 to trap
(00.032155) Unlock network
(00.032417) Unfreezing tasks into 1
(00.032444) \tUnseizing 2113 into 1
(00.032640) Error (criu/cr-dump.c:2128): Dumping FAILED.
"""
BEFORE_RESTORE = """\
(00.000118) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.002010) Reading image tree
(00.012873)      1: Restoring namespaces 1 flags 0x6c028000
"""
AFTER_RESTORE = """\
(00.034694) Error (criu/mount.c:3689): mnt: Can't remove the directory /tmp/.criu.mntns.iLwsbF: Device or resource busy
(00.034723) Error (criu/cr-restore.c:2324): Restoring FAILED.
(00.035067) Error (criu/cr-restore.c:1262): 30584 killed by signal 9: Killed
(00.035153) Error (criu/namespaces.c:235): Can't open 30584/ns/net on procfs: No such file or directory
(00.035626) Error (criu/cgroup.c:1970): cg: cgroupd: recv req error: No such file or directory
"""

DUMPS = [
    (
        "criu-tcp-established",
        "(00.030) Error (criu/sk-inet.c:200): inet: Connected TCP socket, consider using --tcp-established option.",
        "a process has an open TCP connection",
    ),
    (
        "criu-tcp-in-flight",
        "(00.030) Error (criu/sk-inet.c:185): inet: In-flight connection (l) for 1a2b\n"
        "(00.030) Error (criu/sk-inet.c:186): inet: In-flight connections can be ignored with the --skip-in-flight option.",
        "a TCP connection is being opened just now",
    ),
    (
        "criu-mptcp",
        "(00.030) Error (criu/sk-inet.c:137): inet: Unsupported proto 262 for socket 1c9a6\n"
        '(00.030) Error (criu/sk-inet.c:139): inet: For Go programs, consider using "GODEBUG=multipathtcp=0" to disable',
        "a process has a multipath TCP socket",
    ),
    (
        "criu-socket-protocol",
        "(00.030) Error (criu/sk-inet.c:137): inet: Unsupported proto 132 for socket 1c9a6",
        "a process has a socket of protocol 132, which CRIU cannot carry",
    ),
    (
        "criu-file-locks",
        "(00.030) Error (criu/file-lock.c:110): Some file locks are hold by dumping tasks! You can try --file-locks to "
        "dump them.",
        "a process holds file locks",
    ),
    (
        "criu-io-uring",
        "(00.030) Error (criu/proc_parse.c:502): Unknown shit 600 (anon_inode:[io_uring])",
        "a process uses io_uring, which CRIU cannot carry",
    ),
    (
        "criu-io-uring",
        "pie: 22: Error (criu/pie/parasite.c:588): send_fds failed (-22)\n"
        "(00.005) Error (criu/parasite-syscall.c:280): Can't retrieve FDs from socket\n"
        "(00.005) Error (compel/src/lib/infect-rpc.c:44): Message reply from daemon is trimmed (12/0)",
        "a process uses io_uring, which CRIU cannot carry",
    ),
    (
        "criu-pidfd",
        "(00.030) Error (criu/files-ext.c:94): Can't dump file 5 of that type [600] (unknown anon_inode:[pidfd])",
        "a process holds a pidfd that CRIU cannot carry",
    ),
    (
        "criu-unix-socket",
        "(00.030) Error (criu/sk-unix.c:874): unix: External socket is used. Consider using --ext-unix-sk option.",
        "a process is connected to a unix socket of another container or of the host",
    ),
    (
        "criu-unix-socket",
        "(00.030) Error (criu/sk-unix.c:881): unix: Can't dump half of stream unix connection. name: (null); peer name: x",
        "a process is connected to a unix socket of another container or of the host",
    ),
    (
        "criu-ghost-file",
        "(00.030) Error (criu/files-reg.c:1031): Can't dump ghost file /var/lib/a b.db of 20971520 size, increase limit",
        "a process keeps the deleted file /var/lib/a b.db open, and its 20971520 bytes are above the limit",
    ),
    (
        "criu-link-remap",
        "(00.030) Error (criu/files-reg.c:1122): Can't create link remap for /data/x.tmp. Use link-remap option.",
        "a process holds the file /data/x.tmp under a name that is gone",
    ),
    (
        "criu-inotify",
        "(00.030) Warn  (criu/fsnotify.c:281): fsnotify: \tHandle 0x2c:0x8a1 cannot be opened\n"
        "(00.030) Error (criu/fsnotify.c:284): fsnotify: \tCan't dump that handle",
        "a process watches a file (inotify) whose name cannot be found again",
    ),
    (
        "criu-host-file",
        "(00.030) Error (criu/files-reg.c:1790): Can't lookup mount=29 for fd=1 path=/home/me/out.log",
        "file descriptor 1 is a file of the host: /home/me/out.log",
    ),
    (
        "criu-overmounted",
        "(00.030) Error (criu/files-reg.c:1796): Open files on overmounted mounts are not supported yet; mount=44 fd=7 "
        "path=/data/f",
        "a process holds the file /data/f, over which something else was mounted",
    ),
    (
        "criu-tty",
        "(00.030) Error (criu/tty.c:1830): tty: Found dangling tty with sid 812 pgid 840 (pts) on peer fd 1.\n"
        "Task attached to shell terminal. Consider using --shell-job option. More details on http://criu.org/Simple_loop",
        "a process is attached to a terminal that is not the container's own",
    ),
    (
        "criu-file-type",
        "(00.030) Error (criu/files-ext.c:94): Can't dump file 5 of that type [20666] (chr 10:200)",
        "file descriptor 5 is of a kind that CRIU cannot carry: chr 10:200",
    ),
    (
        "criu-uprobes",
        "(00.030) Error (criu/proc_parse.c:614): PID 2113 has uprobes vma. Consider using --allow-uprobes.",
        "somebody traces a process of the container with uprobes",
    ),
    (
        "criu-traced",
        "(00.030) Error (compel/src/lib/infect.c:261): Unseizable non-zombie 2113 found, state S, err -1/1",
        "a process of the container is being debugged",
    ),
    (
        "criu-seccomp",
        "(00.030) Error (compel/src/lib/ptrace.c:27): suspending seccomp failed: Operation not permitted",
        "the kernel cannot suspend seccomp filters",
    ),
    (
        "criu-freeze-timeout",
        "(10.030) Error (criu/cr-dump.c:1808): Timeout reached. Try to interrupt: 0\n"
        "(10.031) Error (criu/seize.c:635): Unable to freeze cgroup /sys/fs/cgroup/pyodcr/4ac1 (99 x 100ms attempts, "
        "timeout: 10s)",
        "the container cannot be frozen: a process does not leave the kernel",
    ),
    (
        "criu-too-old",
        "(00.030) Error (criu/vdso.c:401): vdso: Unexpected rt vDSO area bounds",
        "this CRIU does not know the vDSO of the running kernel",
    ),
    (
        "criu-too-old",
        "(00.030) Error (criu/sockets.c:628): sockets: Can't get 1:16 opt: Operation not supported",
        "this CRIU asks sockets for options that the running kernel refuses",
    ),
    (
        "criu-rseq",
        "(00.030) Error (criu/cr-dump.c:227): 2113 has rseq but kernel lacks get_rseq_conf feature",
        "the kernel cannot tell CRIU about restartable sequences",
    ),
    (
        "criu-no-memory-tracking",
        "(00.000) Error (criu/config.c:1130): Tracking memory is not available. Consider omitting --track-mem option.",
        "this kernel cannot track changed memory (soft-dirty)",
    ),
    (
        "criu-no-memory-tracking",
        "(00.030) Error (criu/mem.c:45): BUG at criu/mem.c:45",
        "this kernel cannot track changed memory (soft-dirty)",
    ),
    (
        "criu-diag-module",
        "(00.030) Error (criu/sockets.c:448): sockets: Sockets (family 1 proto 0) are not collected",
        "the kernel has no module to list sockets",
    ),
    (
        "criu-no-iptables",
        'Error (criu/util.c:642): execvp("iptables-restore", ...) failed: No such file or directory\n'
        "(00.030) Error (criu/util.c:655): exited, status=1\n"
        "(00.030) Error (criu/net.c:3332): net: Locking network failed: iptables-restore returned -1. This may be connected "
        "to disabled CONFIG_NETFILTER_XT_MARK kernel build config option.",
        "iptables-restore is not installed, and CRIU locks the network with it",
    ),
    (
        "criu-no-nftables",
        "(00.030) Error (criu/net.c:3311): net: CRIU was built without libnftables support",
        "this CRIU cannot lock the network with nftables",
    ),
    (
        "criu-network-lock",
        "iptables-restore v1.8.11 (nf_tables): \nline 5: CHAIN_ADD failed (No such file or directory): chain INPUT\n"
        "(00.030) Error (criu/util.c:655): exited, status=4",
        "the network of the container cannot be locked",
    ),
    (
        "criu-hook-refused",
        "(00.030) Error (criu/action-scripts.c:94): Script /var/lib/pyodcr/containers/4ac1/criu/hook exited with 256\n"
        "(00.030) Error (criu/action-scripts.c:156): One of more action scripts failed",
        "the action script refused",
    ),
    (
        "criu-config",
        "criu: unrecognized option '--gost-limit'",
        "this CRIU does not understand its configuration file",
    ),
    (
        "criu-no-space",
        "(00.030) Error (criu/page-xfer.c:204): page-xfer: Unable to spice data: No space left on device",
        "there is no space left for the images",
    ),
    (
        "criu-no-memory",
        "(00.030) Error (criu/pstree.c:88): mmap failed: Cannot allocate memory",
        "there is not enough memory",
    ),
    (
        "criu-too-many-files",
        "(00.030) Error (criu/page-pipe.c:65): page-pipe: Can't make pipe for page-pipe: Too many open files",
        "CRIU may not open as many files as it needs",
    ),
    (
        "criu-not-permitted",
        "CRIU needs to have the CAP_SYS_ADMIN or the CAP_CHECKPOINT_RESTORE capability: ",
        "CRIU lacks the capabilities it needs",
    ),
    (
        "criu-not-permitted",
        "(00.200908) Error (criu/cr-dump.c:389): Can't get rlimit 0: Operation not permitted\n"
        "(00.200911) Error (criu/cr-dump.c:1584): Dump core (pid: 16) failed with -1",
        "a process of the container runs as another user than CRIU, which may not ask for its limits",
    ),
]

RESTORES = [
    (
        "criu-tcp-established",
        "(00.030)      1: Error (criu/sk-inet.c:912): inet: Connected TCP socket in image",
        "the checkpoint holds open TCP connections",
    ),
    (
        "criu-tty",
        "(00.030)      1: Error (criu/tty.c:1010): tty: Don't have tty to inherit session from, aborting",
        "a process is attached to a terminal that is not the container's own",
    ),
    (
        "criu-tty",
        "(00.030)      1: Error (criu/tty.c:2399): tty: Unable to find a master for /0",
        "a process is attached to a terminal that is not the container's own",
    ),
    (
        "criu-too-old",
        "(00.034)      7: Error (criu/mount-v2.c:966): mnt-v2: Failed to make mount 476 slave: Invalid argument",
        "this CRIU does not know how the running kernel changes mount propagation",
    ),
    (
        "criu-cpu-mismatch",
        "(00.001) Error (criu/arch/x86/cpu.c:223): cpu: CPU instruction capabilities do not match run time",
        "this CPU lacks features of the one that the checkpoint was made on",
    ),
    (
        "criu-cpu-mismatch",
        "(00.001) Error (criu/arch/x86/cpu.c:247): cpu: FPU feature required by image is not supported on host (avx512f)",
        "this CPU lacks features of the one that the checkpoint was made on",
    ),
    (
        "criu-cpu-mismatch",
        "(00.001) Error (criu/arch/x86/cpu.c:274): cpu: CPU xsave size mismatch (2696/832)",
        "this CPU lacks features of the one that the checkpoint was made on",
    ),
    (
        "criu-network-unlock",
        "iptables-restore v1.8.11 (nf_tables): \nline 4: CHAIN_USER_DEL failed (Device or resource busy): chain CRIU",
        "the network lock of an earlier dump is still there",
    ),
    (
        "criu-pid-in-use",
        "(00.030) Error (criu/cr-restore.c:1230): Can't fork for 812: File exists",
        "process ID 812 is taken",
    ),
    (
        "criu-file-changed",
        "(00.030)      1: Error (criu/files-reg.c:2175): File usr/bin/redis-server has bad size 178 (expect 1812)",
        "the file usr/bin/redis-server is not the one that was open in the checkpoint",
    ),
    (
        "criu-file-changed",
        "(00.030)      1: Error (criu/files-reg.c:2153): File usr/bin/redis-server has bad build-ID",
        "the file usr/bin/redis-server is not the one that was open in the checkpoint",
    ),
    (
        "criu-file-missing",
        "(00.030)      1: Error (criu/files-reg.c:2353): Can't open file data/a.db on restore: No such file or directory\n"
        "(00.030)      1: Error (criu/files-reg.c:2267): Can't open file data/a.db: No such file or directory\n"
        "(00.030)      1: Error (criu/files.c:1221): Unable to open fd=3 id=0x5",
        "the file data/a.db, open in the checkpoint, is missing",
    ),
    (
        "criu-mount-missing",
        "(00.030) Error (criu/mount.c:3141): mnt: No mapping for 1042:/data mountpoint",
        "the mount /data inside the container comes from outside, and CRIU does not know whence",
    ),
    (
        "criu-mount-missing",
        "(00.030) Error (criu/mount.c:753): mnt: 713:./etc/hosts doesn't have a proper root mount",
        "the mount ./etc/hosts inside the container comes from outside, and CRIU does not know whence",
    ),
    (
        "criu-address-in-use",
        "(00.030)      1: Error (criu/sk-inet.c:1059): inet: Can't bind inet socket (id 23): Address already in use",
        "an address or port of the container is taken",
    ),
    (
        "criu-address-missing",
        "(00.030)      1: Error (criu/sk-inet.c:1059): inet: Can't bind inet socket (id 23): Cannot assign requested address",
        "an IP address that a socket was bound to is not there",
    ),
    (
        "criu-cgroup",
        "(00.030) Error (criu/cgroup.c:1936): cg: \tCan't mount controller dir .criu.cgyard.UJ0Xgs/cpu: Device or resource busy",
        "the cgroups of the checkpoint cannot be made on this host",
    ),
    (
        "criu-lsm",
        "(00.030) Error (criu/lsm.c:360): mismatched lsm types and lsm profile specified",
        "the security label of the container cannot be set on this host",
    ),
    (
        "criu-lsm",
        "pie: 1: Error (criu/pie/restorer.c:196): can't write lsm profile -13",
        "the security label of the container cannot be set on this host",
    ),
    (
        "criu-images",
        "(00.030) Error (criu/image.c:563): Magic doesn't match for pstree.img",
        "the images of the checkpoint are damaged, or of a newer CRIU: pstree.img",
    ),
    (
        "criu-images",
        "(00.030) Error (criu/protobuf.c:72): Unexpected EOF on mm-1.img",
        "the images of the checkpoint are damaged, or of a newer CRIU: mm-1.img",
    ),
]


def log(kind: str, excerpt: str) -> list[str]:
    before, after = (BEFORE_DUMP, AFTER_DUMP) if kind == "dump" else (BEFORE_RESTORE, AFTER_RESTORE)
    return (before + excerpt + "\n" + after).splitlines()


ALL = [("dump", *case) for case in DUMPS] + [("restore", *case) for case in RESTORES]


@pytest.mark.parametrize(("kind", "code", "excerpt", "cause"), ALL)
def test_a_known_failure(kind: str, code: str, excerpt: str, cause: str) -> None:
    found = criulog.classify(log(kind, excerpt))
    assert (found.code, found.cause) == (code, cause)
    assert found.hint
    assert "{" not in found.cause + found.hint


def test_every_signature_has_an_excerpt() -> None:
    excerpts = "\n".join(excerpt for _, _, excerpt, _ in ALL)
    assert [signature.pattern for signature in SIGNATURES if not re.search(signature.pattern, excerpts)] == []


def test_no_signature_takes_the_noise_around_for_a_cause() -> None:
    for kind in ("dump", "restore"):
        assert criulog.classify(log(kind, "")).code == "criu-failed"


def test_an_unknown_failure_is_told_in_crius_words() -> None:
    found = criulog.classify(
        log("dump", "(00.030) Error (criu/sk-queue.c:144): Control messages in queue, not supported")
    )
    assert (found.code, found.cause) == ("criu-failed", "Control messages in queue, not supported")
    assert found.lines[0].endswith("Operation not permitted")
    assert found.lines[-1].endswith("Dumping FAILED.")


def test_the_cause_nearest_to_the_end_wins() -> None:
    harmless_today = "(00.010) Error (criu/sockets.c:216): sockets: Diag module missing (-2)"
    fatal = "(00.030) Error (criu/file-lock.c:110): Some file locks are hold by dumping tasks! You can try --file-locks"
    assert criulog.classify(log("dump", f"{harmless_today}\n{fatal}")).code == "criu-file-locks"


def test_a_consequence_does_not_hide_the_cause() -> None:
    fatal = "(00.030) Error (criu/sk-inet.c:200): inet: Connected TCP socket, consider using --tcp-established option."
    unlock = "line 4: CHAIN_USER_DEL failed (Device or resource busy): chain CRIU"
    assert criulog.classify(log("dump", f"{fatal}\n{unlock}")).code == "criu-tcp-established"


def test_chatter_is_no_error() -> None:
    chatter = "(00.020) Dumping path for 5 fd via self 9 [/srv/No space left on device]"
    assert criulog.classify(log("dump", chatter)).code == "criu-failed"


def test_names_a_container_chose_cannot_speak_to_the_terminal() -> None:
    line = "(00.030) Error (criu/files-reg.c:1790): Can't lookup mount=29 for fd=1 path=/\033[2Jx\x07"
    found = criulog.classify(log("dump", line))
    assert found.cause == "file descriptor 1 is a file of the host: /?[2Jx?"
    assert all(line.isprintable() for line in found.lines)


def test_braces_in_a_name_are_left_alone() -> None:
    line = "(00.030) Error (criu/files-reg.c:1790): Can't lookup mount=29 for fd=1 path=/{fd}/{0.__class__}"
    assert criulog.classify(log("dump", line)).cause == "file descriptor 1 is a file of the host: /{fd}/{0.__class__}"


def test_a_huge_log_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "dump.log"
    fatal = (
        "(99.030) Error (criu/file-lock.c:110): Some file locks are hold by dumping tasks! You can try --file-locks\n"
    )
    with path.open("w") as stream:
        stream.write(fatal.replace("file-lock", "early").replace("file locks", "other things"))
        stream.write("(00.020) page-xfer: \tp 0x7f00 [1]\n" * 400_000)
        stream.write(fatal)
    assert path.stat().st_size > criulog.TAIL_BYTES
    found = criulog.diagnose(path)
    assert found.code == "criu-file-locks"
    assert len(found.lines) == 1


def test_no_log(tmp_path: Path) -> None:
    found = criulog.diagnose(tmp_path / "dump.log")
    assert (found.code, found.cause) == ("criu-no-log", "there is no log: no such file or directory")


def test_the_error_names_the_container_and_shows_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "dump.log"
    path.write_text("\n".join(log("dump", DUMPS[0][1])))
    error = criulog.to_error(path, action="dump", container="web", said="runc: criu failed: type NOTIFY errno 0")
    assert error.message == "criu cannot dump container web: a process has an open TCP connection"
    assert error.code == "criu-tcp-established"
    assert error.hint is not None
    assert error.hint.startswith("use --tcp-established")
    assert error.details["log"] == str(path)


def test_without_a_log_the_runtimes_word_is_all_there_is(tmp_path: Path) -> None:
    error = criulog.to_error(tmp_path / "dump.log", action="restore", container="web", said="container not running")
    assert error.message == "criu cannot restore container web: container not running"
    assert error.code == "criu-no-log"
