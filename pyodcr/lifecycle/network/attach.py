"""The network of a container, from nothing to connected and back.

Own namespaces are made at a path of ours and joined by the runtime. All that changes is first
written into the :mod:`ledger <pyodcr.lifecycle.network.ledger>`, so a kill -9 at any line is undone by the next
attach or detach of whichever container comes first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from pyodcr.config import NetworkConfig
from pyodcr.errors import NotFound, PyodcrError
from pyodcr.jsonio import JsonInvalid
from pyodcr.lifecycle.models import ContainerConfig, NetworkOptions
from pyodcr.lifecycle.network import ipam, netns, packetlock, ports
from pyodcr.lifecycle.network.ledger import Attachment, Ledger, LedgerFile, Request
from pyodcr.lifecycle.network.mode import Kind, hostname_of, mode_of
from pyodcr.lifecycle.network.netavark import Netavark
from pyodcr.lifecycle.network.networks import NetworkStore
from pyodcr.lifecycle.network.status import reuse
from pyodcr.lifecycle.paths import Paths

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attached:
    """Where the container's processes go (None: they stay on the host's network), and what the networks gave."""

    netns: Path | None
    status: Mapping[str, Any]


class Networking:
    """The networks of one root, and who is attached to them."""

    def __init__(self, paths: Paths, config: NetworkConfig) -> None:
        self.store = NetworkStore(paths.networks, config)
        self._netavark = Netavark(paths, config)
        self._ledger = LedgerFile(paths.netavark / "attachments.json")
        self._namespaces = paths.runroot / "netns"

    def attach(
        self,
        container: ContainerConfig,
        *,
        netns_path: Path,
        wanted: Mapping[str, NetworkOptions] | None = None,
        locked: bool = False,
    ) -> Attached:
        """Make the container's network ready before its first process starts; all of it, or nothing.

        ``wanted`` takes the place of the configured networks for this once (restore, see :func:`~.status.reuse`).
        ``locked`` shuts CRIU's packet lock before the first interface comes up. A container that shares
        another's namespace gives that one's path as ``netns_path``.
        """
        mode = mode_of(container)
        if mode.kind is Kind.HOST:
            return Attached(None, {})
        if not mode.is_own:
            path = netns_path if mode.kind is Kind.CONTAINER else Path(mode.target)
            if not netns.exists(path):
                raise NotFound(f"{path} is not a network namespace", container=container.id, path=str(path))
            return Attached(path, {})
        joined = (container.networks if wanted is None else wanted) if mode.kind is Kind.BRIDGE else {}
        if joined:
            return Attached(netns_path, self._connect(container, joined, netns_path, locked=locked))
        with ExitStack() as undo:
            undo.callback(netns.remove, netns_path)
            _make_namespace(netns_path, locked=locked)
            undo.pop_all()
        return Attached(netns_path, {})

    def detach(self, container: ContainerConfig, netns_path: Path, status: Mapping[str, Any] | None = None) -> None:
        """Undo :meth:`attach`, whatever is left of it; ``status`` helps where our own record of it is lost.

        Raises :class:`NetworkFailed` if parts stay on the host; they are tried again by later commands.
        """
        if not mode_of(container).is_own:
            return
        with self._netavark.exclusive():
            ledger = self._ledger.read()
            attachment = ledger.attachments.get(container.id) or self._reconstruct(container, netns_path, status)
            if attachment is not None:
                self._ledger.write(ledger.with_attachment(replace(attachment, settled=False)))
                failures = self._clear()
                if container.id in failures:
                    raise failures[container.id]
            netns.remove(netns_path)

    def sweep(self, is_live: Callable[[str], bool]) -> list[str]:
        """Detach all that is attached for containers that are no more; returns their IDs.

        ``is_live`` is asked while nobody can attach. A container is recorded before it is attached, so
        one that came up since the caller last looked is spared.
        """
        with self._netavark.exclusive():
            ledger = self._ledger.read()
            gone = [container_id for container_id in ledger.attachments if not is_live(container_id)]
            for container_id in gone:
                ledger = ledger.with_attachment(replace(ledger.attachments[container_id], settled=False))
            self._ledger.write(ledger)
            failed = self._clear()
            for path in self._namespaces.iterdir() if self._namespaces.is_dir() else ():
                if path.name not in failed and not is_live(path.name):
                    netns.remove(path)
        return gone

    def _connect(
        self, container: ContainerConfig, joined: Mapping[str, NetworkOptions], netns_path: Path, *, locked: bool
    ) -> Mapping[str, Any]:
        self._netavark.require()
        with self._netavark.exclusive(), ExitStack() as undo:
            ledger = self._ledger.read()
            if container.id in ledger.attachments:  # of a run that nobody cleaned up after
                ledger = ledger.with_attachment(replace(ledger.attachments[container.id], settled=False))
                self._ledger.write(ledger)
            self._clear()
            request, ledger = self._request(container, joined, self._ledger.read().without(container.id))
            attachment = Attachment(netns=str(netns_path), request=request)
            undo.callback(self._clear)
            self._ledger.write(ledger.with_attachment(attachment))
            _make_namespace(netns_path, locked=locked)
            status = self._netavark.setup(netns_path, attachment.request)
            self._ledger.write(ledger.with_attachment(replace(attachment, settled=True)))
            undo.pop_all()
        return status

    def _request(
        self, container: ContainerConfig, joined: Mapping[str, NetworkOptions], ledger: Ledger
    ) -> tuple[Request, Ledger]:
        """What to tell netavark, and the ledger that remembers which addresses were chosen for it."""
        ports.check(container.ports)
        hostname, free_names = hostname_of(container), _interface_names(joined)
        networks, definitions = {}, {}
        for ref, options in joined.items():
            network = self.store.get(ref)
            if network.dns_enabled and not self._netavark.has_dns:
                log.warning("aardvark-dns is not installed: no names on network %s", network.name)
                network = replace(network, dns_enabled=False)
            addresses = ipam.allocate(
                network,
                wanted=options.static_ips,
                taken=ledger.taken(network.name),
                last=ledger.last.get(network.name, {}),
            )
            pairs = zip(network.subnets, addresses, strict=False)
            chosen = {subnet.subnet: address for subnet, address in pairs if address not in options.static_ips}
            ledger = ledger.with_last(network.name, chosen)
            aliases = (*options.aliases, container.short_id, hostname)  # as libpod, which Docker's users expect
            definitions[network.name] = network
            networks[network.name] = replace(
                options,
                static_ips=addresses,
                static_mac=options.static_mac or ipam.random_mac(),
                interface_name=options.interface_name or next(free_names),
                aliases=tuple(name for name in dict.fromkeys(aliases) if name != container.name),
            )
        request = Request(
            container_id=container.id,
            container_name=container.name,
            container_hostname=hostname,
            ports=container.ports,
            dns_servers=container.dns_servers,
            networks=networks,
            definitions=definitions,
        )
        return request, ledger

    def _reconstruct(
        self, container: ContainerConfig, netns_path: Path, status: Mapping[str, Any] | None
    ) -> Attachment | None:
        """What an attachment without a record must have been: RUNROOT was emptied under a running container."""
        try:
            known = {name: options for name, options in reuse(container.networks, status).items() if options.static_ips}
            known = {name: options for name, options in known.items() if name in (status or {})}
            definitions = {name: self.store.get(name) for name in known}
        except (JsonInvalid, NotFound) as error:
            log.warning("cannot tell how %s was connected: %s", container.id, error)
            return None
        if not known:
            return None
        request = Request(
            container_id=container.id,
            container_name=container.name,
            ports=container.ports,
            networks=known,
            definitions=definitions,
        )
        return Attachment(netns=str(netns_path), request=request)

    def _clear(self) -> Mapping[str, PyodcrError]:
        """Take down every attachment that is not settled; returns, by container, what could not be.

        netavark's teardown gives up where something is missing that its set-up makes: no interface, and the
        bridge stays; no chain, and the rules stay. So what fails is first set up once more, all of it
        together (a chain cannot go while another's rules point at it), and then taken down from a whole state.
        """
        half = [entry for entry in self._ledger.read().unsettled() if _failure(self._take_down, entry)]
        for entry in half:
            _failure(self._rebuild, entry)
        failures = {entry.id: error for entry in half if (error := _failure(self._take_down, entry))}
        for container_id, error in failures.items():
            log.warning("the network of container %s is not wholly taken down: %s", container_id, error)
        return failures

    def _take_down(self, entry: Attachment) -> None:
        self._netavark.teardown(Path(entry.netns), entry.request)
        netns.remove(Path(entry.netns))
        self._ledger.write(self._ledger.read().without(entry.id))

    def _rebuild(self, entry: Attachment) -> None:
        netns.create(Path(entry.netns))
        self._netavark.setup(Path(entry.netns), _bare(entry.request))


def _failure(action: Callable[[Attachment], None], entry: Attachment) -> PyodcrError | None:
    try:
        action(entry)
    except PyodcrError as error:
        log.debug("%s of %s: %s", action.__name__, entry.id, error)
        return error
    return None


def _bare(request: Request) -> Request:
    """The request without what netavark may refuse and teardown does not need."""
    return replace(
        request,
        networks={
            name: NetworkOptions(static_ips=options.static_ips, interface_name=options.interface_name)
            for name, options in request.networks.items()
        },
        definitions={name: replace(network, dns_enabled=False) for name, network in request.definitions.items()},
    )


def _make_namespace(path: Path, *, locked: bool) -> None:
    netns.create(path)
    if locked:
        packetlock.lock(path)


def _interface_names(joined: Mapping[str, NetworkOptions]) -> Iterator[str]:
    """eth0, eth1... without those somebody chose."""
    chosen = {options.interface_name for options in joined.values()}
    return (name for number in count() if (name := f"eth{number}") not in chosen)
