"""What of a stranger's ``config.dump`` may become a path, a mount option or a program of this host.

The spec has its own allow-list (:mod:`pyodcr.lifecycle.spec.allowlist`); the configuration beside it is decoded by
type only, and its words go where root's own words go. So each is held to the rule that it has where it is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pyodcr.checkpoint.archive.invalid import hostile, shown
from pyodcr.config import Config
from pyodcr.errors import UsageError
from pyodcr.lifecycle import probe
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.spec import mount_options, names

ID = re.compile(r"[0-9a-f]{64}")
LABEL = re.compile(r"[A-Za-z0-9_.:,-]*")  # an SELinux context; it stands between quotes in mount options
TIMEZONE = re.compile(r"(?:[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*)?")
UMASK = re.compile(r"[0-7]{0,4}")
SIGNALS = range(1, 65)
TIMEOUTS_S = range(2**32)  # what libpod's type holds


def admit(config: ContainerConfig, own: Config) -> ContainerConfig:
    """The configuration with nothing in it that reaches out of the container, for a host with the settings ``own``.

    Raises :class:`ArchiveInvalid` (``archive-hostile``) for words that nobody's engine wrote, and
    :class:`UsageError` for a runtime that is not the one asked for, or that nobody named on this host.
    """
    for what, word, rule in _words(config):
        if not rule.fullmatch(word):
            raise hostile(f"{what} {shown(word)}")
    for what, number, allowed in _numbers(config):
        if number not in allowed:
            raise hostile(f"{what} {number}")
    return replace(
        config,
        runtime=_runtime(config.runtime, own),
        named_volumes=tuple(
            replace(volume, options=tuple(filter(mount_options.is_harmless, volume.options)))
            for volume in config.named_volumes
        ),
        cgroup_parent="",
        cgroup_manager=own.cgroup_manager,
        log_path="",
        pid_file="",
        conmon_pid_file="",
    )


def _words(config: ContainerConfig) -> Iterator[tuple[str, str, re.Pattern[str]]]:
    yield "the ID", config.id, ID
    yield "the name", config.name, names.VALID
    for volume in config.named_volumes:
        yield "the volume", volume.name, names.VALID
    if not config.rootfs:
        yield "the image", config.image_id, ID
    yield "the label", config.process_label, LABEL
    yield "the label", config.mount_label, LABEL
    yield "the time zone", config.timezone, TIMEZONE
    yield "the umask", config.umask, UMASK


def _numbers(config: ContainerConfig) -> Iterator[tuple[str, int, range]]:
    yield "the stop signal", config.stop_signal, SIGNALS
    yield "the stop timeout", config.stop_timeout_s, TIMEOUTS_S


def _runtime(name: str, own: Config) -> str:
    """The runtime to use: a program runs as root because somebody on this host named it, not an archive."""
    if own.runtime:
        if Path(own.runtime).name != Path(name).name:
            raise UsageError(
                f"checkpoint archive was created with runtime '{name}' and cannot be restored "
                f"with runtime '{own.runtime}'"
            )
        return own.runtime
    if name not in (*probe.DEFAULT_ORDER, *own.runtimes):
        raise UsageError(
            f"checkpoint archive was created with runtime {shown(name)}, which nobody named on this host",
            code="runtime-unknown",
            hint="if it is to be trusted, name it by --runtime",
        )
    return name
