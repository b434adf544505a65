"""`--security-opt`, and the parts of /proc and /sys that a container does not get to see or write."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyodcr.errors import Unsupported, UsageError
from pyodcr.lifecycle.spec.annotation import ANNOTATION

# Podman's, but for /sys/devices/system/cpu/cpu*/thermal_throttle: each masked directory is a mount that CRIU
# wants to find again, and a host with fewer CPUs could not restore the container
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
READONLY_PATHS = ("/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
CGROUP_PATH = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    no_new_privileges: bool | None = None
    apparmor: str = ""
    seccomp: str = ""  # a profile's path, or unconfined
    labels: tuple[str, ...] = ()  # SELinux: disable, type:T, level:L...
    proc_options: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()
    privileged: bool = False

    @property
    def masked_paths(self) -> list[str]:
        default = () if self.privileged else MASKED_PATHS
        return [*(path for path in default if not self._is_unmasked(path)), *self.mask]

    @property
    def readonly_paths(self) -> list[str]:
        return [] if self.privileged else [path for path in READONLY_PATHS if not self._is_unmasked(path)]

    @property
    def writable_cgroup(self) -> bool:
        return "ALL" in self.unmask or CGROUP_PATH in {path.rstrip("/") for path in self.unmask}

    @property
    def annotations(self) -> Mapping[str, str]:
        """Where Podman's inspect looks for what was asked."""
        told = {"apparmor": self.apparmor, "seccomp": self.seccomp, "label": ",label=".join(self.labels)}
        return {f"{ANNOTATION}.{name}": value for name, value in told.items() if value}

    def _is_unmasked(self, path: str) -> bool:
        return any(pattern.upper() == "ALL" or fnmatch.fnmatchcase(path, pattern) for pattern in self.unmask)


def parse(words: Sequence[str], *, privileged: bool, apparmor_enabled: bool) -> Security:
    no_new_privileges: bool | None = None
    single = {"apparmor": "", "seccomp": ""}
    lists: dict[str, list[str]] = {"label": [], "mask": [], "unmask": [], "proc-opts": []}
    for word in words:
        # Docker's old form has a colon
        name, separator, value = word.partition("=" if "=" in word else ":")
        if name == "no-new-privileges":
            no_new_privileges = _truth(word, value) if separator else True
        elif not separator:
            raise UsageError(f'invalid --security-opt: "{word}"', hint="NAME=VALUE")
        elif name in single:
            single[name] = value
        elif name == "label":
            lists[name].append(_label(value))
        elif name in lists:
            lists[name] += value.split("," if name == "proc-opts" else ":")
        elif name == "systempaths" and value == "unconfined":
            lists["unmask"].append("ALL")
        else:
            raise UsageError(
                f'invalid --security-opt: "{word}"',
                hint="apparmor, label, mask, no-new-privileges, proc-opts, seccomp, systempaths=unconfined, unmask",
            )
    for path in lists["mask"]:
        if not path.startswith("/"):
            raise UsageError(f'invalid --security-opt: the path to mask "{path}" is not absolute')
    apparmor = single["apparmor"]
    if apparmor not in ("", "unconfined") and not apparmor_enabled:
        raise UsageError(f'apparmor profile "{apparmor}" specified, but AppArmor is not enabled on this system')
    return Security(
        no_new_privileges=no_new_privileges,
        apparmor=apparmor if apparmor_enabled else "",
        seccomp=single["seccomp"],
        labels=tuple(lists["label"]),
        proc_options=tuple(lists["proc-opts"]),
        mask=tuple(lists["mask"]),
        unmask=tuple(lists["unmask"]),
        privileged=privileged,
    )


def _label(value: str) -> str:
    if value == "nested":
        raise Unsupported("the security option label=nested is not supported")
    return value


def _truth(word: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise UsageError(f'invalid --security-opt: "{word}"', hint="true or false")
    return value.lower() in ("true", "1")
