"""Where everything lies.

ROOT (durable, default /var/lib/pyodcr)
├── state.sqlite                     containers, volumes, events, operations
├── reserve                          space for the database's next records, see reserve
├── images/                          the image store, see storage.imagestore
├── volumes/NAME/_data
├── networks/NAME.json               netavark's and Podman's format
├── staging/OPERATION/               images of a checkpoint on their way into an archive
└── containers/ID/                   the OCI bundle
    ├── config.json  attach  ctl  winsz  ctr.log
    ├── layer/{diff,work,merged}     the overlay
    ├── overlays/N/                  throw-away overlays of volumes (`:O`)
    ├── shm/                         a tmpfs, /dev/shm inside
    ├── checkpoint/                  CRIU images of a checkpoint that was kept
    ├── criu/                        criu.conf and the hook: never on RUNROOT, it may be noexec
    └── exec/SESSION/

RUNROOT (this boot only, default /run/pyodcr)
├── locks/ID
├── persist/ID/{exit,oom}           written by conmon
├── netns/ID                         network namespaces, bind-mounted
├── network/                         netavark's own state
├── hooks/OPERATION/                 the socket a CRIU hook talks to
└── containers/ID/                   pidfile conmon.pid oci-log resolv.conf hosts hostname .containerenv
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    root: Path
    runroot: Path

    @property
    def database(self) -> Path:
        return self.root / "state.sqlite"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def networks(self) -> Path:
        return self.root / "networks"

    @property
    def locks(self) -> Path:
        return self.runroot / "locks"

    @property
    def netavark(self) -> Path:
        return self.runroot / "network"

    def container(self, container_id: str) -> ContainerPaths:
        return ContainerPaths(self, container_id)

    def staging(self, operation_id: str) -> Path:
        return self.root / "staging" / operation_id

    def hook(self, operation_id: str) -> Path:
        return self.runroot / "hooks" / operation_id


@dataclass(frozen=True, slots=True)
class ContainerPaths:
    """The places of one container; ``bundle`` is durable, ``run`` is not."""

    paths: Paths
    id: str

    @property
    def bundle(self) -> Path:
        return self.paths.root / "containers" / self.id

    @property
    def run(self) -> Path:
        return self.paths.runroot / "containers" / self.id

    @property
    def spec(self) -> Path:
        return self.bundle / "config.json"

    @property
    def log(self) -> Path:
        return self.bundle / "ctr.log"

    @property
    def layer(self) -> Path:
        return self.bundle / "layer"

    @property
    def upper(self) -> Path:
        """What the container changed in its root filesystem (overlayfs' upperdir)."""
        return self.layer / "diff"

    @property
    def merged(self) -> Path:
        return self.layer / "merged"

    @property
    def overlays(self) -> Path:
        return self.bundle / "overlays"

    @property
    def shm(self) -> Path:
        return self.bundle / "shm"

    @property
    def checkpoint(self) -> Path:
        return self.bundle / "checkpoint"

    @property
    def criu(self) -> Path:
        return self.bundle / "criu"

    @property
    def attach(self) -> Path:
        return self.bundle / "attach"

    @property
    def ctl(self) -> Path:
        return self.bundle / "ctl"

    @property
    def pid_file(self) -> Path:
        return self.run / "pidfile"

    @property
    def conmon_pid_file(self) -> Path:
        return self.run / "conmon.pid"

    @property
    def oci_log(self) -> Path:
        return self.run / "oci-log"

    @property
    def persist(self) -> Path:
        return self.paths.runroot / "persist" / self.id

    @property
    def netns(self) -> Path:
        return self.paths.runroot / "netns" / self.id

    @property
    def lock(self) -> Path:
        return self.paths.locks / self.id

    @property
    def exec_sessions(self) -> Path:
        return self.bundle / "exec"

    def exec_session(self, session_id: str) -> Path:
        return self.exec_sessions / session_id
