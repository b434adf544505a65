"""The definitions of networks on disk, one JSON file each, in Podman's format."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pyodcr import jsonio
from pyodcr.config import NetworkConfig
from pyodcr.errors import Ambiguous, ConfigInvalid, Conflict, NotFound, UsageError
from pyodcr.lifecycle.network import addresses, host
from pyodcr.lifecycle.network.define import BRIDGE_PREFIX, NAME, HostUse, define
from pyodcr.lifecycle.network.definitions import Network, NewNetwork
from pyodcr.linux import files, flock

log = logging.getLogger(__name__)


class NetworkStore:
    """The networks of one root.

    The default network is made when it is first looked at: with the configured subnet where the host
    leaves it free, else with any other; from then on it is a file like the rest, but cannot be removed.
    """

    def __init__(
        self, directory: Path, config: NetworkConfig, *, observe: Callable[[], HostUse] = host.observe
    ) -> None:
        self._directory = directory
        self._observe = observe
        self._default = config.default_network
        self._default_subnet = config.default_subnet

    def create(self, asked: NewNetwork) -> Network:
        """Define and store a network; raises what :func:`~.define.define` does."""
        with self._locked():
            others = self._all()
            for other in others:
                if asked.ignore_existing and other.name == asked.name:
                    return other
            return self._store(
                define(asked, network_id=_new_id(), created_at=jsonio.now(), others=others, host=self._observe())
            )

    def list(self) -> tuple[Network, ...]:
        """All networks, by name. A damaged file is left out, with a warning."""
        self._ensure_default()
        return self._all()

    def get(self, ref: str) -> Network:
        """By name, ID, or a unique beginning of the ID."""
        if ref == self._default:
            self._ensure_default()
        if NAME.match(ref) and (named := self._read(self._file(ref))) is not None:
            return named
        found = [network for network in self._all() if ref and network.id.startswith(ref)]
        if len(found) > 1:
            raise Ambiguous(f"more than one result for network ID {ref}", matches=[network.name for network in found])
        if not found:
            raise NotFound(f"unable to find network with name or ID {ref}: network not found", network=ref)
        return found[0]

    def remove(self, ref: str, *, in_use: Collection[str]) -> Network:
        """Forget a network that no container uses; ``in_use`` are the containers that do (after --force: none)."""
        network = self.get(ref)
        if network.name == self._default:
            raise UsageError(f"default network {network.name} cannot be removed")
        if in_use:
            raise Conflict(
                f'"{ref}" has associated containers with it: network is being used',
                code="network-in-use",
                hint="use -f to forcibly delete containers and pods",
                containers=sorted(in_use),
            )
        with self._locked():
            files.remove(self._file(network.name))
        return network

    def _ensure_default(self) -> None:
        if self._file(self._default).exists():
            return
        with self._locked():
            if self._file(self._default).exists():
                return
            others, used = self._all(), self._observe()
            wanted = addresses.parse_block(self._default_subnet)
            configured = [addresses.parse_block(subnet.subnet) for other in others for subnet in other.subnets]
            free = not addresses.overlaps(wanted, (*configured, *used.addresses, *used.routes))
            first = f"{BRIDGE_PREFIX}0"
            asked = NewNetwork(
                name=self._default,
                disable_dns=True,  # as Podman: it must come up even where the host has a DNS server of its own
                subnets=(str(wanted),) if free else (),
                interface_name="" if first in used.interfaces else first,
            )
            self._store(define(asked, network_id=_new_id(), created_at=jsonio.now(), others=others, host=used))

    def _all(self) -> tuple[Network, ...]:
        found = []
        for path in sorted(self._directory.glob("*.json")):
            try:
                network = self._read(path)
            except ConfigInvalid as error:
                log.warning("%s", error)
                continue
            if network is not None:
                found.append(network)
        return tuple(found)

    def _read(self, path: Path) -> Network | None:
        text = files.read(path)
        if text is None:
            return None
        try:
            network = jsonio.decode(Network, jsonio.loads(text))
            with_gateway = not network.internal or network.dns_enabled
            subnets = [addresses.checked(subnet, (), with_gateway=with_gateway) for subnet in network.subnets]
        except (jsonio.JsonInvalid, UsageError) as error:
            raise ConfigInvalid(f"network file {path} is damaged: {error}") from error
        if network.name != path.stem:
            raise ConfigInvalid(f"network file {path} is of another network, {network.name}")
        return replace(network, subnets=tuple(subnets))

    def _store(self, network: Network) -> Network:
        files.write(self._file(network.name), jsonio.dumps(jsonio.encode(network), indent=5) + "\n", mode=0o644)
        return network

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        files.make_directory(self._directory)
        with flock.exclusive(self._directory / "lock"):
            yield


def _new_id() -> str:
    return os.urandom(32).hex()
