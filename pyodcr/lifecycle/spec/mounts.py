"""All mounts of a container as asked for: what every container has, and what image and user put in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pyodcr.errors import UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.models import NamedVolume, OverlayVolume
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec import mount_options, volumes
from pyodcr.lifecycle.spec.facts import Host, ImageDefaults, Kernel
from pyodcr.lifecycle.spec.security import Security
from pyodcr.lifecycle.spec.volumes import Wanted

IMAGE_VOLUME_MODES = ("anonymous", "tmpfs", "ignore", "bind")  # bind is Podman's old word for anonymous
_IMAGE_VOLUME_OPTIONS = ("rprivate", "rw", "nodev", "exec")
_WRITABLE = ("/tmp", "/var/tmp", "/run")
_WRITABLE_OPTIONS = ["rw", "rprivate", "nosuid", "nodev", "tmpcopyup"]


@dataclass(frozen=True, slots=True)
class Mounts:
    """``mounts`` are OCI mounts; ``asked`` the destinations that image or user asked for."""

    mounts: tuple[JsonObject, ...]
    named: tuple[NamedVolume, ...]
    overlays: tuple[OverlayVolume, ...]
    asked: tuple[str, ...]


def build(
    options: CreateOptions, image: ImageDefaults | None, host: Host, security: Security, *, host_ipc: bool
) -> Mounts:
    """User over ``--volumes-from`` over image over default, a destination at a time."""
    wanted = _of_image(image, options.image_volume)
    wanted.update(volumes.from_containers(options.volumes_from, host.resolve))
    wanted.update(volumes.parse(options.volumes, options.mounts, options.tmpfs))
    asked = wanted.destinations
    if options.read_only and options.read_only_tmpfs:
        for destination in _WRITABLE:
            if destination not in asked:
                wanted.add_mount(destination, "tmpfs", "tmpfs", _WRITABLE_OPTIONS)
    defaults = _defaults(host.kernel, security)
    if host_ipc:
        defaults.append(_mount("/dev/shm", "bind", "/dev/shm", "bind", "rprivate", "nosuid", "noexec", "nodev"))
    if options.read_only and not options.read_only_tmpfs:
        _find(defaults, "/dev")["options"].append("ro")
    return Mounts(
        mounts=(*wanted.mounts.values(), *_not_superseded(defaults, asked)),
        named=tuple(
            volume if volume.name else replace(volume, name=host.new_volume_name(), anonymous=True)
            for volume in wanted.volumes.values()
        ),
        overlays=tuple(wanted.overlays.values()),
        asked=asked,
    )


def _of_image(image: ImageDefaults | None, mode: str) -> Wanted:
    if mode not in IMAGE_VOLUME_MODES:
        raise UsageError(f'invalid image volume mode "{mode}"', hint=f"modes: {', '.join(IMAGE_VOLUME_MODES)}")
    wanted = Wanted()
    for path in sorted(image.volumes) if image and mode != "ignore" else ():
        destination = wanted.claim(path)
        if mode == "tmpfs":
            wanted.add_mount(destination, "tmpfs", "tmpfs", mount_options.tmpfs(_IMAGE_VOLUME_OPTIONS))
        else:
            wanted.add_volume(destination, "", _IMAGE_VOLUME_OPTIONS)
    return wanted


def _not_superseded(defaults: Iterable[JsonObject], asked: Sequence[str]) -> list[JsonObject]:
    """Who mounts a /dev of their own has to fill it too."""
    own_dev = "/dev" in asked
    return [
        mount
        for mount in defaults
        if mount["destination"] not in asked and not (own_dev and mount["destination"].startswith("/dev/"))
    ]


def _defaults(kernel: Kernel, security: Security) -> list[JsonObject]:
    """As Podman has them. The runtimes make a cgroup2 mount of type ``cgroup`` where the host has cgroup v2."""
    system = "rw" if security.privileged else "ro"
    control = "rw" if security.privileged or security.writable_cgroup else "ro"
    proc = security.proc_options or ("nosuid", "noexec", "nodev")
    mounts = [
        _mount("/proc", "proc", "proc", *proc),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", system),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "rprivate", "nosuid", "noexec", "nodev", "relatime", control),
    ]
    if kernel.mqueue:
        mounts.append(_mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"))
    return mounts


def _mount(destination: str, kind: str, source: str, *options: str) -> JsonObject:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _find(mounts: Iterable[JsonObject], destination: str) -> JsonObject:
    return next(mount for mount in mounts if mount["destination"] == destination)
