"""From what the user asked, and what the image says, to the container's configuration.

The spec that comes out is of no place yet: root, namespace paths, volume paths, the user's numbers and HOME
are put in each time the container starts (:mod:`.finalize`).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyodcr import jsonio
from pyodcr.errors import Unsupported, UsageError
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec import logs, names, network, oci, parts, ports, restart, sizes
from pyodcr.lifecycle.spec.facts import Host, ImageDefaults
from pyodcr.lifecycle.spec.namespaces import Mode
from pyodcr.lifecycle.spec.parts import Parts

log = logging.getLogger(__name__)

SHM_SIZE_BYTES = 65_536_000  # libpod's 65536k, by the decimal k of its configuration parser
STOP_TIMEOUT_S = 10
UMASK = "0022"
FOREVER_S = 2**32 - 1  # what libpod makes of a stop timeout of -1
_UMASK = re.compile(r"[0-7]{1,4}\Z")


def build(options: CreateOptions, image: ImageDefaults | None, host: Host) -> ContainerConfig:
    """Decide everything about a new container; raises :class:`UsageError` on what makes no sense.

    ``image`` is None for a container with ``--rootfs``.
    """
    config = _config(parts.gather(options, image, host))
    try:
        json.dumps(jsonio.encode(config), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # bytes of the command line that Python carries as lone surrogates
        text = str(error.object)[max(0, error.start - 20) : error.end].encode(errors="replace").decode()
        raise UsageError(f"{text!r} is not valid UTF-8, which config.json must be") from error
    return config


def _config(found: Parts) -> ContainerConfig:
    options, image, host = found.options, found.image, found.host
    bundle = host.paths.container(host.container_id)
    written = logs.parse(options.log_driver, options.log_opts, bundle.log)
    policy, retries = restart.parse(options.restart, rm=options.rm)
    return ContainerConfig(
        id=host.container_id,
        name=names.validate(options.name) if options.name else host.generated_name,
        spec=oci.build(found),
        created_at=host.now,
        create_command=options.create_command,
        runtime=options.runtime or host.runtime,
        static_dir=str(bundle.bundle),
        named_volumes=found.mounts.named,
        overlay_volumes=found.mounts.overlays,
        user_volumes=found.mounts.asked,
        create_working_dir=image is not None and not options.workdir,
        privileged=options.privileged,
        label_options=found.security.labels if host.kernel.selinux and not options.privileged else ("disable",),
        user=found.user,
        groups=options.group_add,
        entrypoint=found.entrypoint,
        command=found.command,
        open_stdin=options.interactive,
        labels=_labels(options, image),
        stop_signal=found.stop_signal,
        stop_timeout_s=_stop_timeout_s(options),
        log_driver=written.driver,
        log_path=written.path,
        log_size_bytes=written.size_bytes,
        conmon_pid_file=_absolute(options.conmon_pid_file),
        pid_file=_absolute(options.pid_file),
        restart_policy=policy,
        restart_retries=retries,
        umask=_umask(options.umask),
        timezone=_timezone(options.timezone),
        auto_remove=options.rm,
        extra=_extra(found),
        **_root(options, image),
        **_shm(found),
        **_namespaces(found),
        **_network(found),
        **_cgroup(options, host),
    )


def _root(options: CreateOptions, image: ImageDefaults | None) -> Mapping[str, Any]:
    if image is not None:
        return {
            "image_id": image.id,
            "image_name": image.name,
            "raw_image_name": image.raw_name or options.image,
        }
    path, _, flags = options.image.partition(":")
    if not path:
        raise UsageError("must set root filesystem source to either image or rootfs")
    if flags not in ("", "O"):
        raise Unsupported(f'"{flags}" is not supported with --rootfs', hint="DIR or DIR:O")
    return {"rootfs": _absolute(path), "rootfs_overlay": flags == "O"}


def _shm(found: Parts) -> Mapping[str, Any]:
    """/dev/shm is ours unless the host's, another container's, the user's own, or not wanted."""
    ipc, size = found.namespaces.ipc, found.options.shm_size
    if size and ipc.mode in (Mode.HOST, Mode.NONE):
        raise UsageError(f"cannot set shmsize when running in the {ipc.mode} IPC Namespace")
    directory = str(found.host.paths.container(found.host.container_id).shm)
    none = ipc.mode is Mode.NONE or "/dev/shm" in found.mounts.asked
    if ipc.container is not None:
        none, directory = none or ipc.container.no_shm, ipc.container.shm_dir
    elif ipc.mode is Mode.HOST:
        none, directory = True, "/dev/shm"
    return {
        "shm_dir": "" if none and ipc.mode is not Mode.HOST else directory,
        "shm_size_bytes": sizes.binary(size, "shm-size") if size else SHM_SIZE_BYTES,
        "no_shm": none,
    }


def _namespaces(found: Parts) -> Mapping[str, Any]:
    kinds = found.namespaces
    return {
        "ipc_container": kinds.ipc.container_id,
        "pid_container": kinds.pid.container_id,
        "uts_container": kinds.uts.container_id,
        "cgroup_container": kinds.cgroup.container_id,
        "net_container": found.connection.namespace.container_id,
    }


def _network(found: Parts) -> Mapping[str, Any]:
    options, connection = found.options, found.connection
    resolver = network.dns(options, connection)
    exposed = ports.exposed(found.image.exposed_ports if found.image else (), options.expose)
    if connection.is_bridge:
        mapped = ports.mappings(options.publish, exposed, found.host.free_port, publish_all=options.publish_all)
    else:
        mapped = ()
        if options.publish:
            log.warning(
                'port mappings have been discarded because "%s" network namespace mode does not support them',
                connection.namespace.mode,
            )
    return {
        # also without a network: of a namespace that the runtime made itself, runc restores no loopback
        "own_netns": connection.is_bridge or connection.namespace.mode is Mode.NONE,
        "network_mode": str(connection.namespace.mode),
        "networks": connection.networks,
        "ports": mapped,
        "exposed_ports": exposed,
        "use_image_resolv_conf": resolver.use_image_file,
        "dns_servers": resolver.servers,
        "dns_search": resolver.search,
        "dns_options": resolver.options,
        "use_image_hosts": options.no_hosts,
        "extra_hosts": network.extra_hosts(options, connection),
    }


def _cgroup(options: CreateOptions, host: Host) -> Mapping[str, Any]:
    if options.cgroups in ("disabled", "split"):
        raise Unsupported(
            f"--cgroups={options.cgroups} is not supported: a container is frozen by its own cgroup",
            hint="leave --cgroups out",
        )
    if options.cgroups not in ("enabled", "no-conmon"):
        raise UsageError(f'invalid cgroup mode "{options.cgroups}"', hint="enabled or no-conmon")
    parent = options.cgroup_parent or host.cgroup_parent
    if parent.endswith(".slice"):
        raise UsageError("systemd slice received as cgroup parent when using cgroupfs", hint=f"{parent} is a slice")
    return {
        "cgroup_manager": host.cgroup_manager,
        "cgroup_parent": "/" + parent.strip("/"),
        "cgroups_mode": options.cgroups,
    }


def _extra(found: Parts) -> Mapping[str, Any]:
    """Keys of config.dump that libpod acts on, beyond those the model names."""
    options = found.options
    told = {
        "mountAllDevices": options.privileged,
        "NOShmShare": found.namespaces.ipc.mode is Mode.PRIVATE,
        "readWriteTmpfs": options.read_only and options.read_only_tmpfs,
    }
    return {name: value for name, value in told.items() if value}


def _labels(options: CreateOptions, image: ImageDefaults | None) -> Mapping[str, str]:
    labels = dict(image.labels) if image else {}
    for text in options.labels:
        name, _, value = text.partition("=")
        if not name:
            raise UsageError(f'invalid label format: "{text}"', hint="NAME=VALUE")
        labels[name] = value
    return labels


def _stop_timeout_s(options: CreateOptions) -> int:
    wanted = options.stop_timeout_s
    if wanted is None:
        return STOP_TIMEOUT_S
    return FOREVER_S if wanted < 0 else wanted


def _umask(text: str) -> str:
    if text and not _UMASK.match(text):
        raise UsageError(f"invalid umask string {text}", hint="octal digits: 0027")
    return text or UMASK


def _timezone(name: str) -> str:
    if name and name != "local":
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise UsageError(f"finding timezone: unknown time zone {name}") from error
    return name


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""
