"""`--network`, `--ip`, `--dns`, `--add-host`: how the container is connected, and by which names it finds others.

The language is Podman's: ``bridge[:OPTIONS]``, ``none``, ``host``, ``private``, ``container:NAME``,
``ns:PATH``, or networks by name, ``NAME[:OPTIONS]``; options are ``ip= ip6= mac= alias= interface_name=``
and what a network driver knows.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyodcr.errors import Unsupported, UsageError
from pyodcr.lifecycle.models import NetworkOptions
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec.facts import Host
from pyodcr.lifecycle.spec.namespaces import Mode, Namespace, parse_mode

HOST_GATEWAY = "host-gateway"
_NOT_NAMES = frozenset({"bridge", "none", "host", "private", "default", "container", "ns", "pasta", "slirp4netns"})
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}\Z")
_DOMAIN = re.compile(
    r"(?=.*[a-zA-Z])[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*\.?\Z"
)


@dataclass(frozen=True, slots=True)
class Connection:
    namespace: Namespace
    networks: Mapping[str, NetworkOptions] = field(default_factory=dict)

    @property
    def is_bridge(self) -> bool:
        return self.namespace.mode is Mode.BRIDGE


@dataclass(frozen=True, slots=True)
class Dns:
    use_image_file: bool
    servers: tuple[str, ...]
    search: tuple[str, ...]
    options: tuple[str, ...]


def connect(options: CreateOptions, host: Host) -> Connection:
    namespace, networks = _parse(options.networks or ("private",), host)
    if namespace.mode is Mode.BRIDGE:
        return Connection(namespace, _with_interfaces(_with_flags(networks, options)))
    for flag, value in (
        ("ip", options.ip),
        ("mac-address", options.mac_address),
        ("network-alias", options.network_aliases),
    ):
        if value:
            raise UsageError(f"--{flag} can only be set when the network mode is bridge", hint=f"not {namespace.mode}")
    return Connection(namespace)


def dns(options: CreateOptions, connection: Connection) -> Dns:
    mode = connection.namespace.mode
    if (options.dns or options.dns_search or options.dns_options) and mode in (Mode.NONE, Mode.CONTAINER):
        raise UsageError(f"conflicting options: dns and the network mode: {mode}")
    use_image_file = "none" in options.dns
    if use_image_file and (len(options.dns) > 1 or options.dns_search or options.dns_options):
        raise UsageError("none is not allowed to be specified with other DNS ip addresses, search domains or options")
    if "." in options.dns_search and len(options.dns_search) > 1:
        raise UsageError("cannot pass additional search domains when also specifying '.'")
    for domain in options.dns_search:
        if domain != "." and not _DOMAIN.match(domain):
            raise UsageError(f"{domain} is not a valid domain")
    servers = () if use_image_file else tuple(_address(server, "an ip address") for server in options.dns)
    return Dns(use_image_file, servers, options.dns_search, options.dns_options)


def extra_hosts(options: CreateOptions, connection: Connection) -> tuple[str, ...]:
    """``NAME[;NAME...]:IP`` words, checked."""
    if options.add_host and options.no_hosts:
        raise UsageError("--no-hosts and --add-host cannot be set together")
    if options.add_host and connection.namespace.mode is Mode.CONTAINER:
        raise UsageError(
            "cannot set extra host entries when the container is joined to another containers network namespace"
        )
    for text in options.add_host:
        names, colon, address = text.partition(":")
        if not colon or not names:
            raise UsageError(f'bad format for add-host: "{text}"', hint="NAME:IP")
        if not all(names.split(";")):
            raise UsageError(f'hostname in add-host "{text}" is empty')
        if address != HOST_GATEWAY:
            _address(address, "a valid address for --add-host")
    return options.add_host


def _parse(texts: Sequence[str], host: Host) -> tuple[Namespace, dict[str, NetworkOptions]]:
    first, rest = texts[0], texts[1:]
    kind = first.partition(":")[0]
    networks: dict[str, NetworkOptions] = {}
    if kind in ("pasta", "slirp4netns"):
        raise Unsupported(f"network mode {kind} is not supported", hint="it is for containers without root; use bridge")
    if first == "none":
        namespace = Namespace(Mode.NONE)
    elif first == "host" or kind in ("container", "ns"):
        namespace = parse_mode("network", first, host.resolve)
    else:
        namespace = Namespace(Mode.BRIDGE)
        networks = _first_networks(first, host.default_network)
    if rest and namespace.mode is not Mode.BRIDGE:
        raise UsageError(f"cannot set multiple networks without bridge network mode, selected mode {namespace.mode}")
    for text in rest:
        name, _, words = text.partition(":")
        if name in _NOT_NAMES:
            raise UsageError(f"can only set extra network names, selected mode {name} conflicts with bridge")
        networks[_network_name(name)] = _options(words, name)
    return namespace, networks


def _first_networks(text: str, default: str) -> dict[str, NetworkOptions]:
    name, colon, words = text.partition(":")
    if text in ("private", "default"):
        return {default: NetworkOptions()}
    if name == "bridge":
        return {default: _options(words, name)}
    if colon:
        return {_network_name(name): _options(words, name)}
    return {_network_name(name): NetworkOptions() for name in text.split(",")}  # Podman's older form of several


def _network_name(name: str) -> str:
    if not name:
        raise UsageError("network name cannot be empty")
    return name


def _options(text: str, network: str) -> NetworkOptions:
    found = NetworkOptions()
    for word in text.split(",") if text else ():
        name, _, value = word.partition("=")
        match name:
            case "ip" | "ip6":
                found = replace(found, static_ips=(*found.static_ips, _address(value, "a valid ip address")))
            case "mac":
                found = replace(found, static_mac=_mac(value))
            case "alias" | "interface_name" if not value:
                raise UsageError(f"invalid option for network {network}: {name} cannot be empty")
            case "alias":
                found = replace(found, aliases=(*found.aliases, value))
            case "interface_name":
                found = replace(found, interface_name=value)
            case _:
                found = replace(found, options={**found.options, name: value})
    return found


def _with_flags(networks: dict[str, NetworkOptions], options: CreateOptions) -> dict[str, NetworkOptions]:
    """--ip and --mac-address speak of the one network, --network-alias of all."""
    for flag, value in (("ip", options.ip), ("mac-address", options.mac_address)):
        if value and len(networks) != 1:
            raise UsageError(f"--{flag} can only be set for a single network")
    changed = {}
    for name, network in networks.items():
        if options.ip:
            network = replace(network, static_ips=(*network.static_ips, _address(options.ip, "an ip address")))
        if options.mac_address:
            network = replace(network, static_mac=_mac(options.mac_address))
        if options.network_aliases:
            network = replace(network, aliases=options.network_aliases)
        changed[name] = network
    return changed


def _with_interfaces(networks: dict[str, NetworkOptions]) -> dict[str, NetworkOptions]:
    """Name every interface: as asked, else the first eth0, eth1... that is free."""
    asked = [network.interface_name for network in networks.values() if network.interface_name]
    for name in asked:
        if asked.count(name) > 1:
            raise UsageError(f'network interface name "{name}" is already assigned to another network')
    free = (name for name in (f"eth{index}" for index in range(len(networks) + len(asked))) if name not in asked)
    return {
        name: network if network.interface_name else replace(network, interface_name=next(free))
        for name, network in networks.items()
    }


def _address(text: str, what: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise UsageError(f'"{text}" is not {what}') from error


def _mac(text: str) -> str:
    if not _MAC.match(text):
        raise UsageError(f"address {text}: invalid MAC address")
    return text.lower().replace("-", ":")
