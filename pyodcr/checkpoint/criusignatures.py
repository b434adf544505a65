"""The ways CRIU fails, as data: a pattern in its log, the cause in our words, and what to do about it.

The wording of the patterns is that of CRIU's sources, 3.15 to 4.2; each has a test on an excerpt of a log.
``{name}`` in a cause or hint is the pattern's group of that name. Patterns are compiled when a log is read.
"""

from __future__ import annotations

from dataclasses import dataclass

ADMIN_CONF = "/etc/criu/runc.conf"


@dataclass(frozen=True, slots=True)
class Signature:
    """One known failure. A ``consequence`` is believed only where nothing else in the log is known."""

    code: str
    pattern: str
    cause: str
    hint: str
    consequence: bool = False


SIGNATURES: tuple[Signature, ...] = (
    # what the dumped program does
    Signature(
        "criu-tcp-established",
        r"Connected TCP socket, consider using",
        "a process has an open TCP connection",
        "use --tcp-established to keep connections, or close them first",
    ),
    Signature(
        "criu-tcp-established",
        r"Connected TCP socket in image",
        "the checkpoint holds open TCP connections",
        "use --tcp-established for the restore too",
    ),
    Signature(
        "criu-tcp-in-flight",
        r"In-flight connection \(l\)",
        "a TCP connection is being opened just now",
        "try again; CRIU cannot carry a connection that the program has not accepted yet",
    ),
    Signature(
        "criu-mptcp",
        r"Unsupported proto 262 ",
        "a process has a multipath TCP socket",
        "start the program without it: GODEBUG=multipathtcp=0 for programs built with Go 1.24 or later",
    ),
    Signature(
        "criu-socket-protocol",
        r"Unsupported proto (?P<proto>\d+) for socket",
        "a process has a socket of protocol {proto}, which CRIU cannot carry",
        "close it first",
    ),
    Signature(
        "criu-file-locks",
        r"Some file locks are hold by dumping tasks",
        "a process holds file locks",
        "use --file-locks",
    ),
    Signature(
        "criu-io-uring",
        # its parasite sends the descriptors over a unix socket, which the kernel refuses for io_uring's (-22) since 6.7
        r"anon_inode:\[io_uring\]|send_fds failed \(-22\)",
        "a process uses io_uring, which CRIU cannot carry",
        "start the program without io_uring (many have a switch for it)",
    ),
    Signature(
        "criu-pidfd",
        r"anon_inode:\[pidfd\]|pidfd pid \d+ is not a part of process tree",
        "a process holds a pidfd that CRIU cannot carry",
        "CRIU 4.1 and later carry pidfds of processes of the same container",
    ),
    Signature(
        "criu-unix-socket",
        r"External socket is used\.|Can't dump half of stream unix connection",
        "a process is connected to a unix socket of another container or of the host",
        "close the connection first, or do not mount the socket into the container",
    ),
    Signature(
        "criu-ghost-file",
        r"Can't dump ghost file (?P<path>.*) of (?P<size>\d+) size",
        "a process keeps the deleted file {path} open, and its {size} bytes are above the limit",
        f"raise ghost-limit in {ADMIN_CONF}, or have the program close the file",
    ),
    Signature(
        "criu-link-remap",
        r"Can't create link remap for (?P<path>.*?)\. Use",
        "a process holds the file {path} under a name that is gone",
        f"put link-remap into {ADMIN_CONF}",
    ),
    Signature(
        "criu-inotify",
        r"Handle \S+ cannot be opened|Can't dump that handle",
        "a process watches a file (inotify) whose name cannot be found again",
        f"put force-irmap, or irmap-scan-path with its directory, into {ADMIN_CONF}",
    ),
    Signature(
        "criu-host-file",
        r"Can't lookup mount=\S+ for fd=(?P<fd>\d+) path=(?P<path>\S*)",
        "file descriptor {fd} is a file of the host: {path}",
        "give a container pipes or /dev/null as standard streams, and mount the files that it shall hold",
    ),
    Signature(
        "criu-overmounted",
        r"Open files on overmounted mounts are not supported yet; .* path=(?P<path>\S*)",
        "a process holds the file {path}, over which something else was mounted",
        "close it first",
    ),
    Signature(
        "criu-tty",
        r"Don't have tty to inherit session from|Unable to find a master for|Found dangling tty with sid"
        r"|is not a session leader",
        "a process is attached to a terminal that is not the container's own",
        "end programs started through exec with a terminal first",
    ),
    Signature(
        "criu-file-type",
        r"Can't dump file (?P<fd>\d+) of that type \[\d+\] \((?P<kind>[^)]*)\)",
        "file descriptor {fd} is of a kind that CRIU cannot carry: {kind}",
        "have the program close it first",
    ),
    Signature(
        "criu-uprobes",
        r"has uprobes vma",
        "somebody traces a process of the container with uprobes",
        "stop the tracing tool first",
    ),
    Signature(
        "criu-traced",
        r"SEIZE \d+: can't|Unseizable non-zombie|Can't seize task",
        "a process of the container is being debugged",
        "detach strace, gdb or the like first",
    ),
    Signature(
        "criu-seccomp",
        r"suspending seccomp failed|Dumping seccomp filters not supported",
        "the kernel cannot suspend seccomp filters",
        "a kernel with CONFIG_CHECKPOINT_RESTORE and a pyodcr that runs as root in the host's namespaces are needed",
    ),
    Signature(
        "criu-freeze-timeout",
        r"Unable to freeze cgroup|Timeout reached\. Try to interrupt",
        "the container cannot be frozen: a process does not leave the kernel",
        f"look for state D in ps; it may wait for a dead NFS server. `timeout` in {ADMIN_CONF} waits longer",
    ),
    # the kernel and CRIU do not fit
    Signature(
        "criu-too-old",
        r"Unexpected rt vDSO area bounds",
        "this CRIU does not know the vDSO of the running kernel",
        "kernel 6.13 and later need CRIU 4.1 or later",
    ),
    Signature(
        "criu-too-old",
        r"Failed to make mount \d+ (slave|shared): Invalid argument",
        "this CRIU does not know how the running kernel changes mount propagation",
        "install CRIU 4.1.1 or later",
    ),
    Signature(
        "criu-too-old",
        r"Can't get 1:(16|34) opt: Operation not supported",
        "this CRIU asks sockets for options that the running kernel refuses",
        "kernel 6.16 and later need CRIU 4.2 or later",
    ),
    Signature(
        "criu-rseq",
        r"has rseq but kernel lacks get_rseq_conf",
        "the kernel cannot tell CRIU about restartable sequences",
        "use kernel 5.13 or later, or start the program with GLIBC_TUNABLES=glibc.pthread.rseq=0",
    ),
    Signature(
        "criu-no-memory-tracking",
        r"Tracking memory is not available|Dirty tracking is OFF|BUG at criu/mem\.c:4\d",
        "this kernel cannot track changed memory (soft-dirty)",
        "make a full checkpoint, without a pre-checkpoint before it",
    ),
    Signature(
        "criu-cpu-mismatch",
        r"CPU (instruction )?capabilities do not match run time|FPU feature required by image"
        r"|xsave size mismatch|CPU xfeatures has unsupported bits",
        "this CPU lacks features of the one that the checkpoint was made on",
        "restore on a machine whose CPU has them",
    ),
    Signature(
        "criu-diag-module",
        r"Diag module missing|Sockets \(family \d+ proto \d+\) are not collected",
        "the kernel has no module to list sockets",
        "load unix_diag, inet_diag, tcp_diag, udp_diag, netlink_diag and af_packet_diag",
    ),
    # the network is locked for the length of a dump
    Signature(
        "criu-no-iptables",
        r'execvp\("(?P<tool>ip6?tables[^"]*)"',
        "{tool} is not installed, and CRIU locks the network with it",
        "install iptables",
    ),
    Signature(
        "criu-no-nftables",
        r"CRIU was built without libnftables support",
        "this CRIU cannot lock the network with nftables",
        "install iptables",
    ),
    Signature(
        "criu-network-lock",
        r"Locking network failed|CHAIN_ADD failed|Iptables configuration failed|Locking connection failed",
        "the network of the container cannot be locked",
        "load the kernel modules of iptables (xt_mark) or nftables",
        consequence=True,  # of a tool that is not installed, for one
    ),
    Signature(
        "criu-network-unlock",
        r"CHAIN_USER_DEL failed.*chain CRIU",
        "the network lock of an earlier dump is still there",
        "delete the chain CRIU in the network namespace of the container: iptables and ip6tables, INPUT and OUTPUT",
        consequence=True,  # CRIU unlocks after any failure, and may find its own chain in use
    ),
    # what the restore finds on this host
    Signature(
        "criu-pid-in-use",
        r"Can't fork for (?P<pid>\d+): File exists",
        "process ID {pid} is taken",
        "restore into a pid namespace of its own, or wait for that process to end",
    ),
    Signature(
        "criu-file-changed",
        r"File (?P<path>.*) has bad (size|build-ID)",
        "the file {path} is not the one that was open in the checkpoint",
        "restore with the files of the checkpoint: its root filesystem, volumes and bind mounts",
    ),
    Signature(
        "criu-file-missing",
        r"Can't open file (?P<path>.*) on restore: No such file or directory",
        "the file {path}, open in the checkpoint, is missing",
        "restore with the files of the checkpoint: its root filesystem, volumes and bind mounts",
    ),
    Signature(
        "criu-mount-missing",
        r"No mapping for \d+:(?P<path>\S*) mountpoint|\d+:(?P<root>\S*) doesn't have a proper root mount"
        r"|Mount \d+:(?P<auto>\S*) is autodetected external mount",
        "the mount {path}{root}{auto} inside the container comes from outside, and CRIU does not know whence",
        "give the container the mounts it was created with; one that was added later cannot be carried",
    ),
    Signature(
        "criu-address-in-use",
        r"Can't bind inet socket .*: Address already in use",
        "an address or port of the container is taken",
        "stop the program that uses the port; a container on the host's network shares its ports",
    ),
    Signature(
        "criu-address-missing",
        r"Can't bind inet socket .*: Cannot assign requested address",
        "an IP address that a socket was bound to is not there",
        "restore with the same IP address, without --ignore-static-ip",
    ),
    Signature(
        "criu-cgroup",
        r"Can't mount controller dir|Cgroup dir \S+ doesn't exist|CG paths mismatch",
        "the cgroups of the checkpoint cannot be made on this host",
        "restore on a host with the same cgroup version (v1 or v2)",
    ),
    Signature(
        "criu-lsm",
        r"mismatched lsm types and lsm profile|can't write lsm profile|LSM specified but \w+ not supported by kernel",
        "the security label of the container cannot be set on this host",
        "restore on a host with the same security module (SELinux, AppArmor or none) and policy",
    ),
    Signature(
        "criu-images",
        r"[Mm]agic doesn't match for (?P<image>\S+)|Not supported images version|Unexpected EOF on (?P<cut>\S+)"
        r"|Failed unpacking object \S+ from (?P<bad>\S+)|Reached EOF unexpectedly while reading page",
        "the images of the checkpoint are damaged, or of a newer CRIU: {image}{cut}{bad}",
        "verify the archive, and compare the CRIU versions of both hosts",
    ),
    # our own configuration of it
    Signature(
        "criu-hook-refused",
        r"Script (?P<script>\S+) exited with|One of more action scripts failed|Pre dump script failed",
        "the action script refused",
        "the error before this one says why; the container goes on running",
    ),
    Signature(
        "criu-config",
        r"unrecognized option|invalid argument for -|Unsupported configuration file format"
        r"|Invalid value for --network-lock",
        "this CRIU does not understand its configuration file",
        f"look at {ADMIN_CONF} and the version of CRIU",
    ),
    # means of the host
    Signature(
        "criu-no-space",
        r"No space left on device|Disk quota exceeded",
        "there is no space left for the images",
        "free some space below the root directory of pyodcr",
    ),
    Signature(
        "criu-no-memory",
        r"Cannot allocate memory|Can't allocate memory",
        "there is not enough memory",
        "free some memory, or raise the memory limit that pyodcr itself runs under",
    ),
    Signature(
        "criu-too-many-files",
        r"Too many open files",
        "CRIU may not open as many files as it needs",
        "raise the limit of open files (ulimit -n), or give pyodcr CAP_SYS_RESOURCE",
    ),
    Signature(
        "criu-not-permitted",
        r"CRIU needs to have the CAP_SYS_ADMIN or the CAP_CHECKPOINT_RESTORE",
        "CRIU lacks the capabilities it needs",
        "run pyodcr as root",
    ),
    Signature(
        "criu-not-permitted",
        r"Can't get rlimit \d+",
        "a process of the container runs as another user than CRIU, which may not ask for its limits",
        "give pyodcr CAP_SYS_RESOURCE, or run the container's processes as root",
    ),
)

# Errors that cause nothing (the first two), and formulas that follow whatever went wrong.
NOISE: tuple[str, ...] = (
    r"Can't setup RLIMIT_NOFILE",
    r"cgroupns not supported\. This is not fatal",
    r"(Dumping|Pre-dumping|Restoring) FAILED",
    r"\(pid: \d+\) failed with -?\d+",
    r"^\d+ (killed by signal|exited, status|stopped by signal)",
    r"Can't open \d+/ns/\w+ on procfs",
    r"cgroupd: recv req error",
    r"Can't remove the directory \S*\.criu\.mntns",
    r"Unable to open fd=",
)
