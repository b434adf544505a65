"""The flags that `create` and `run` share: one table, from a field of CreateOptions to how it is typed.

Typer reads a function's signature, so :func:`takes_create_options` writes one: some eighty flags
are declared once, and the commands see a finished :class:`~pyodcr.lifecycle.options.CreateOptions`.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from pyodcr.errors import UsageError
from pyodcr.lifecycle.options import CreateOptions

Flags = tuple[str, ...]

# field -> (flags, type, help); the default is the dataclass's own
FLAGS: Mapping[str, tuple[Flags, Any, str]] = {
    "name": (("--name",), str, "Name of the container"),
    "entrypoint": (("--entrypoint",), str, "Replace the image's entrypoint; a JSON list or a command line"),
    "env": (("--env", "-e"), list[str], "NAME=VALUE, or NAME to pass ours on"),
    "unset_env": (("--unsetenv",), list[str], "Drop a variable of the image"),
    "env_host": (("--env-host",), bool, "Pass our whole environment on"),
    "workdir": (("--workdir", "-w"), str, "Working directory"),
    "user": (("--user", "-u"), str, "User, or user:group, by name or number"),
    "group_add": (("--group-add",), list[str], "Additional groups"),
    "hostname": (("--hostname", "-h"), str, "Host name inside"),
    "labels": (("--label", "-l"), list[str], "KEY=VALUE"),
    "annotations": (("--annotation",), list[str], "KEY=VALUE, for the OCI runtime"),
    "tty": (("--tty", "-t"), bool, "Give it a terminal"),
    "interactive": (("--interactive", "-i"), bool, "Keep its standard input open"),
    "rm": (("--rm",), bool, "Remove it when it exits"),
    "privileged": (("--privileged",), bool, "All capabilities and devices"),
    "cap_add": (("--cap-add",), list[str], "Add a capability"),
    "cap_drop": (("--cap-drop",), list[str], "Drop a capability"),
    "security_opt": (("--security-opt",), list[str], "seccomp=, apparmor=, label=, no-new-privileges, mask=, unmask="),
    "read_only": (("--read-only",), bool, "Read-only root filesystem"),
    "read_only_tmpfs": (("--read-only-tmpfs",), bool, "With --read-only: writable /dev, /run, /tmp, /var/tmp"),
    "tmpfs": (("--tmpfs",), list[str], "PATH[:OPTIONS]"),
    "volumes": (("--volume", "-v"), list[str], "[SOURCE:]DESTINATION[:OPTIONS]"),
    "mounts": (("--mount",), list[str], "type=bind|volume|tmpfs|...,source=,destination=,..."),
    "volumes_from": (("--volumes-from",), list[str], "Mount another container's volumes"),
    "image_volume": (("--image-volume",), str, "anonymous, tmpfs or ignore"),
    "shm_size": (("--shm-size",), str, "Size of /dev/shm"),
    "ulimits": (("--ulimit",), list[str], "NAME=SOFT[:HARD]"),
    "sysctls": (("--sysctl",), list[str], "NAME=VALUE"),
    "devices": (("--device",), list[str], "HOST[:CONTAINER][:rwm]"),
    "memory": (("--memory", "-m"), str, "Memory limit, with a unit (b, k, m, g)"),
    "memory_swap": (("--memory-swap",), str, "Memory plus swap; -1: no limit"),
    "memory_reservation": (("--memory-reservation",), str, "Soft memory limit"),
    "cpus": (("--cpus",), str, "Number of CPUs, may be a fraction"),
    "cpu_shares": (("--cpu-shares", "-c"), int, "Relative weight"),
    "cpu_period": (("--cpu-period",), int, "Microseconds"),
    "cpu_quota": (("--cpu-quota",), int, "Microseconds per period"),
    "cpuset_cpus": (("--cpuset-cpus",), str, "CPUs it may use"),
    "cpuset_mems": (("--cpuset-mems",), str, "Memory nodes it may use"),
    "pids_limit": (("--pids-limit",), int, "Number of processes; -1: no limit"),
    "blkio_weight": (("--blkio-weight",), int, "Relative block I/O weight"),
    "oom_score_adj": (("--oom-score-adj",), int, "-1000 to 1000"),
    "oom_kill_disable": (("--oom-kill-disable",), bool, "No OOM killer (cgroup v1)"),
    "cgroup_parent": (("--cgroup-parent",), str, "Cgroup to make its own below"),
    "cgroups": (("--cgroups",), str, "enabled or disabled"),
    "networks": (("--network", "--net"), list[str], "bridge, none, host, container:ID, ns:PATH or a network's name"),
    "network_aliases": (("--network-alias",), list[str], "Further names on its networks"),
    "ip": (("--ip",), str, "Static IPv4 address"),
    "mac_address": (("--mac-address",), str, "Static MAC address"),
    "publish": (("--publish", "-p"), list[str], "[[IP:]HOSTPORT:]PORT[/PROTOCOL]"),
    "publish_all": (("--publish-all", "-P"), bool, "Publish all exposed ports at random ones"),
    "expose": (("--expose",), list[str], "PORT[/PROTOCOL]"),
    "dns": (("--dns",), list[str], "Name server"),
    "dns_search": (("--dns-search",), list[str], "Search domain"),
    "dns_options": (("--dns-option",), list[str], "Resolver option"),
    "add_host": (("--add-host",), list[str], "NAME:IP"),
    "no_hosts": (("--no-hosts",), bool, "Leave /etc/hosts to the image"),
    "ipc": (("--ipc",), str, "private, shareable, none, host, container:ID, ns:PATH"),
    "pid": (("--pid",), str, "private, host, container:ID, ns:PATH"),
    "uts": (("--uts",), str, "private, host, container:ID, ns:PATH"),
    "cgroupns": (("--cgroupns",), str, "private, host, container:ID, ns:PATH"),
    "userns": (("--userns",), str, "host"),
    "stop_signal": (("--stop-signal",), str, "Name or number"),
    "stop_timeout_s": (("--stop-timeout",), int, "Seconds until SIGKILL"),
    "restart": (("--restart",), str, "no, on-failure[:N], always, unless-stopped"),
    "log_driver": (("--log-driver",), str, "k8s-file, json-file or none"),
    "log_opts": (("--log-opt",), list[str], "path=, max-size="),
    "umask": (("--umask",), str, "Octal"),
    "timezone": (("--tz",), str, "Area/City, or local"),
    "pull": (("--pull",), str, "always, missing, never, newer"),
    "pid_file": (("--pidfile",), str, "Write its pid there"),
    "conmon_pid_file": (("--conmon-pidfile",), str, "Write its monitor's pid there"),
    "rootfs": (("--rootfs",), bool, "The argument is a directory, not an image; DIR:O protects it"),
}
# flags that end up in other fields
FILES = {
    "cidfile": Annotated[Path | None, typer.Option("--cidfile", help="Write the container's ID there")],
    "env_files": Annotated[list[Path] | None, typer.Option("--env-file", help="Read NAME=VALUE lines")],
    "label_files": Annotated[list[Path] | None, typer.Option("--label-file", help="Read KEY=VALUE lines")],
}
DEFAULTS = {field.name: field.default for field in fields(CreateOptions)}


def _parameter(name: str) -> inspect.Parameter:
    flags, kind, text = FLAGS[name]
    default: Any = DEFAULTS[name]
    if kind is bool and default:
        flags = (f"{flags[0]}/--no-{flags[0][2:]}",)
    if kind is not bool:
        kind, default = kind | None, None
    return _keyword(name, Annotated[kind, typer.Option(*flags, help=text)], default)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def takes_create_options(command: Callable[..., None]) -> Callable[..., None]:
    """``command(ctx, options, cidfile, **own)`` as a Typer command with all flags of :data:`FLAGS` and its own."""

    def wrapper(ctx: typer.Context, **values: Any) -> None:
        command(ctx, _options(values), values.pop("cidfile"), **{name: values[name] for name in own})

    own = {
        name: parameter
        for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
        if name not in ("ctx", "options", "cidfile")
    }
    parameters = [
        _keyword("ctx", typer.Context, inspect.Parameter.empty),
        _keyword("image", Annotated[str, typer.Argument(metavar="IMAGE")], inspect.Parameter.empty),
        _keyword("command", Annotated[list[str] | None, typer.Argument(metavar="[COMMAND [ARG...]]")], None),
        *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own.values()),
        *(_keyword(name, annotation, None) for name, annotation in FILES.items()),
        *(_parameter(name) for name in FLAGS),
    ]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    wrapper.__doc__, wrapper.__name__ = command.__doc__, command.__name__
    return wrapper


def _options(values: Mapping[str, Any]) -> CreateOptions:
    given = {name: values[name] for name in FLAGS if values[name] is not None}
    chosen: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if "entrypoint" in chosen:
        chosen["entrypoint"] = _entrypoint(chosen["entrypoint"])
    chosen["env"] = (*env_lines(values["env_files"]), *chosen.get("env", ()))
    chosen["labels"] = (*env_lines(values["label_files"]), *chosen.get("labels", ()))
    return CreateOptions(
        image=values["image"],
        command=tuple(values["command"] or ()),
        create_command=("pyodcr", *sys.argv[1:]),
        environ=dict(os.environ),
        **chosen,
    )


def _entrypoint(text: str) -> tuple[str, ...]:
    """As Podman: empty resets the image's, a JSON list is taken as it stands, anything else is one word."""
    if text.startswith("["):
        import json

        try:
            words = json.loads(text)
        except ValueError as error:
            raise UsageError(f"--entrypoint {text} is not a JSON list") from error
        return tuple(str(word) for word in words)
    return (text,) if text else ()


def env_lines(paths: list[Path] | None) -> list[str]:
    found: list[str] = []
    for path in paths or ():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UsageError(f"cannot read {path}: {str(error.strerror).lower()}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"cannot read {path}: it is not UTF-8 at byte {error.start}") from error
        found += [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return found
