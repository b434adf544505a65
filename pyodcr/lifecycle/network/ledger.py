"""Who is attached to what, for this boot: the record behind every veth, firewall rule and address.

An attachment is what netavark was told, whole, so that it can be told again to undo it even when the
container's row, or the network's definition, is gone. The leases of addresses are no second list:
an address is taken when an attachment holds it.

``settled`` is False from before the first change to after the last one, on the way up and on the way
down. All changes are made under one lock, so whoever holds it and finds an unsettled attachment
knows that its maker died over it.

    attachments.json  {attachments: {CONTAINER: {netns settled request{...}}}, last: {NETWORK: {SUBNET: ADDRESS}}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pyodcr import jsonio
from pyodcr.errors import SystemFailed
from pyodcr.jsonio import key
from pyodcr.lifecycle.models import NetworkOptions, PortMapping
from pyodcr.lifecycle.network.definitions import Network
from pyodcr.linux import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What netavark reads on its standard input (its types.rs, NetworkOptions), for set-up and teardown alike."""

    container_id: str = key("container_id", keep=True)
    container_name: str = key("container_name", keep=True)
    container_hostname: str = ""
    ports: tuple[PortMapping, ...] = key("port_mappings", ())
    dns_servers: tuple[str, ...] = ()
    networks: Mapping[str, NetworkOptions] = key("networks", factory=dict, keep=True)
    definitions: Mapping[str, Network] = key("network_info", factory=dict, keep=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    netns: str = key("netns", keep=True)
    settled: bool = key("settled", False, keep=True)
    request: Request = key("request", keep=True)

    @property
    def id(self) -> str:
        return self.request.container_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A snapshot of the file; changes make a new one."""

    attachments: Mapping[str, Attachment] = key("attachments", factory=dict, keep=True)
    last: Mapping[str, Mapping[str, str]] = key("last", factory=dict)

    def unsettled(self) -> tuple[Attachment, ...]:
        return tuple(attachment for attachment in self.attachments.values() if not attachment.settled)

    def taken(self, network: str) -> Mapping[str, str]:
        """Address -> container that holds it, on one network."""
        return {
            address: attachment.id
            for attachment in self.attachments.values()
            if network in attachment.request.networks
            for address in attachment.request.networks[network].static_ips
        }

    def with_attachment(self, attachment: Attachment) -> Ledger:
        return replace(self, attachments={**self.attachments, attachment.id: attachment})

    def with_last(self, network: str, given: Mapping[str, str]) -> Ledger:
        """Remember which address each subnet of a network gave last."""
        return replace(self, last={**self.last, network: {**self.last.get(network, {}), **given}})

    def without(self, container_id: str) -> Ledger:
        return replace(
            self, attachments={name: entry for name, entry in self.attachments.items() if name != container_id}
        )


class LedgerFile:
    """The ledger on disk. The caller holds the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Ledger:
        text = files.read(self._path)
        if text is None:
            return Ledger()
        try:
            return jsonio.decode(Ledger, jsonio.loads(text))
        except jsonio.JsonInvalid as error:
            raise SystemFailed(
                f"the record of network attachments {self._path} is damaged: {error}",
                hint="stop all containers and remove it; their addresses and firewall rules are lost with it",
            ) from error

    def write(self, ledger: Ledger) -> None:
        files.make_directory(self._path.parent)
        files.write(self._path, jsonio.dumps(jsonio.encode(ledger)))
