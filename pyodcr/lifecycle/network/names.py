"""/etc/hosts, /etc/resolv.conf and /etc/hostname of a container: what they say, and where they are written.

The contents are pure functions, as libnetwork's etchosts and resolvconf decide them. The files lie in
the container's run directory and are bind-mounted, so they are rewritten in place, never replaced: a
rename would leave the mount on the old file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.network import host, status
from pyodcr.lifecycle.network.mode import Kind, hostname_of, mode_of
from pyodcr.linux import files

HOST_NAMES = ("host.containers.internal", "host.docker.internal")
HOST_GATEWAY = "host-gateway"
DEFAULT_NAMESERVERS = ("8.8.8.8", "8.8.4.4")  # Podman's and Docker's, where the host's own cannot be reached
DEFAULT_NAMESERVERS_V6 = ("2001:4860:4860::8888", "2001:4860:4860::8844")
# A local stub resolver cannot be reached from another network; these files know the servers behind it.
BEHIND_STUB = {
    "127.0.0.53": Path("/run/systemd/resolve/resolv.conf"),
    "127.0.0.1": Path("/run/NetworkManager/no-stub-resolv.conf"),
}

Entry = tuple[str, Sequence[str]]  # address, names


def hosts(base: str, *, extra: Sequence[str], own: Sequence[Entry], gateway: str) -> str:
    """/etc/hosts: ``extra`` (``NAME[;NAME]:IP``), the entries of ``base``, then ours for names not yet there.

    ``own`` are the container's addresses with its names, ``gateway`` where it reaches the host (empty: nowhere),
    which is also what ``host-gateway`` stands for. Raises :class:`UsageError`.
    """
    given = [*(_extra(entry, gateway) for entry in extra), *_parsed(base)]
    known = {name for _, names in given for name in names}
    ours: list[Entry] = [("127.0.0.1", ("localhost",)), ("::1", ("localhost",))]
    if gateway:
        ours.append((gateway, HOST_NAMES))
    lines = [f"{address}\t{' '.join(names)}\n" for address, names in given]
    for address, names in (*ours, *own):
        free = [name for name in dict.fromkeys(names) if name not in known]
        if free:
            lines.append(f"{address}\t{' '.join(free)}\n")
    return "".join(lines)


def _extra(entry: str, gateway: str) -> Entry:
    names, colon, address = entry.partition(":")
    if not colon:
        raise UsageError(f'unable to parse host entry "{entry}": incorrect format')
    if not names:
        raise UsageError(f'hostname in host entry "{entry}" is empty')
    if not address:
        raise UsageError(f'IP address in host entry "{entry}" is empty')
    if address == HOST_GATEWAY:
        if not gateway:
            raise UsageError(
                f'unable to replace "{HOST_GATEWAY}" of host entry "{entry}": host containers internal IP address is '
                "empty"
            )
        address = gateway
    return address, names.split(";")


def _parsed(text: str) -> list[Entry]:
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [(words[0], words[1:]) for words in lines if len(words) > 1]


def resolv_conf(
    base: str,
    *,
    own_network: bool,
    ipv6: bool,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    network_search: Sequence[str] = (),
    options: Sequence[str] = (),
) -> str:
    """/etc/resolv.conf: what was asked for, each part else from the host's (``base``).

    In a network of its own the host's loopback, link-local and (without ``ipv6``) IPv6 servers are left out.
    ``search`` replaces the host's domains (a ``.`` means none at all), ``network_search`` goes before them.
    """
    found = _directives(base)
    if not servers:
        servers = found["nameserver"]
        if own_network:
            servers = [server for server in servers if _is_reachable(server, ipv6=ipv6)]
            servers = servers or [*DEFAULT_NAMESERVERS, *(DEFAULT_NAMESERVERS_V6 if ipv6 else ())]
    domains = list(search) or [*network_search, *found["search"]]
    if "." in search:
        domains = []
    lines = []
    if domains and domains != ["."]:
        lines.append(f"search {' '.join(domains)}\n")
    lines += [f"nameserver {server}\n" for server in servers]
    options = options or found["options"]
    if options:
        lines.append(f"options {' '.join(options)}\n")
    return "".join(lines)


def _directives(text: str) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    for line in text.splitlines():
        words = re.split(r"[#;]", line, maxsplit=1)[0].split()
        if not words:
            continue
        if words[0] == "nameserver":
            found["nameserver"] += words[1:2]
        elif words[0] in ("search", "options"):
            found[words[0]] = words[1:]  # resolv.conf(5): the last one counts
    return found


def _is_reachable(server: str, *, ipv6: bool) -> bool:
    try:
        address = ip_address(server)
    except ValueError:
        return False
    if address.version == 6:
        return ipv6 and not address.is_loopback and not address.is_link_local
    return not address.is_loopback


def write(run_dir: Path, container: ContainerConfig, network_status: Mapping[str, Any] | None) -> None:
    """Fill ``hosts``, ``resolv.conf`` and ``hostname`` in ``run_dir`` for a container attached with that status.

    A container that shares another's network uses the other's files; for it only ``hostname`` is written.
    """
    mode = mode_of(container)
    name = hostname_of(container)
    _overwrite(run_dir / "hostname", f"{name}\n")
    if mode.kind is Kind.CONTAINER:
        return
    blocks = status.parse(network_status)
    if not container.use_image_hosts:
        gateway = "127.0.0.1" if mode.kind is Kind.HOST else status.gateway(blocks) or host.outward_address()
        addresses = ("127.0.0.1",) if mode.kind is Kind.NONE else status.ips(blocks)
        own = [(address, (name, container.name)) for address in addresses]
        base = files.read(Path("/etc/hosts")) or ""
        _overwrite(run_dir / "hosts", hosts(base, extra=container.extra_hosts, own=own, gateway=gateway))
    if not container.use_image_resolv_conf:
        text = resolv_conf(
            _host_resolv_conf(own_network=mode.kind is not Kind.HOST),
            own_network=mode.kind is not Kind.HOST,
            ipv6=status.has_ipv6(blocks),
            servers=status.nameservers(blocks) or container.dns_servers,
            search=container.dns_search,
            network_search=status.search_domains(blocks),
            options=container.dns_options,
        )
        _overwrite(run_dir / "resolv.conf", text)


def _host_resolv_conf(*, own_network: bool) -> str:
    text = files.read(Path("/etc/resolv.conf")) or ""
    servers = _directives(text)["nameserver"]
    if own_network and len(servers) == 1 and servers[0] in BEHIND_STUB:
        return files.read(BEHIND_STUB[servers[0]]) or text
    return text


def _overwrite(path: Path, text: str) -> None:
    files.make_directory(path.parent)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as stream:
            os.fchmod(fd, 0o644)
            os.ftruncate(fd, 0)
            stream.write(text)
    except OSError as error:
        raise files.failed("write", path, error) from error
