"""Everything a container is made of, parsed and decided: what :mod:`.oci` and :mod:`.build` put together."""

from __future__ import annotations

from dataclasses import dataclass

from pyodcr.errors import UsageError
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec import mounts, namespaces, network, security, signals
from pyodcr.lifecycle.spec.facts import Host, ImageDefaults
from pyodcr.lifecycle.spec.mounts import Mounts
from pyodcr.lifecycle.spec.namespaces import Mode, Namespaces
from pyodcr.lifecycle.spec.network import Connection
from pyodcr.lifecycle.spec.security import Security

SIGTERM = 15
HOSTNAME_CHARS = 64  # the kernel's __NEW_UTS_LEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    options: CreateOptions
    image: ImageDefaults | None
    host: Host
    namespaces: Namespaces
    connection: Connection
    security: Security
    mounts: Mounts
    hostname: str
    stop_signal: int

    @property
    def user(self) -> str:
        return self.options.user or (self.image.user if self.image else "")

    @property
    def own_hostname(self) -> bool:
        """Whether the container has a host name of its own to be set."""
        return self.namespaces.uts.mode is Mode.PRIVATE

    @property
    def entrypoint(self) -> tuple[str, ...]:
        wanted = self.options.entrypoint
        if wanted is None:
            wanted = self.image.entrypoint if self.image else ()
        return () if wanted == ("",) else wanted

    @property
    def command(self) -> tuple[str, ...]:
        """The image's command belongs to the image's entry point, not to another."""
        if self.options.command or self.options.entrypoint is not None or self.image is None:
            return self.options.command
        return self.image.cmd


def gather(options: CreateOptions, image: ImageDefaults | None, host: Host) -> Parts:
    """Parse all that is asked, in the order in which parts depend on each other."""
    kinds = namespaces.parse(options, host)
    connection = network.connect(options, host)
    secured = security.parse(options.security_opt, privileged=options.privileged, apparmor_enabled=host.kernel.apparmor)
    signal = options.stop_signal or (image.stop_signal if image else "")
    return Parts(
        options=options,
        image=image,
        host=host,
        namespaces=kinds,
        connection=connection,
        security=secured,
        mounts=mounts.build(options, image, host, secured, host_ipc=kinds.ipc.mode is Mode.HOST),
        hostname=_hostname(options, kinds, connection, host),
        stop_signal=signals.parse(signal) if signal else SIGTERM,
    )


def _hostname(options: CreateOptions, kinds: Namespaces, connection: Connection, host: Host) -> str:
    if options.hostname:
        if kinds.uts.mode is not Mode.PRIVATE:
            raise UsageError("cannot set hostname when running in the host UTS namespace")
        if len(options.hostname) > HOSTNAME_CHARS:
            raise UsageError(f'the hostname "{options.hostname}" is longer than {HOSTNAME_CHARS} characters')
        return options.hostname
    if kinds.uts.container is not None:
        return str(kinds.uts.container.spec.get("hostname") or kinds.uts.container.short_id)
    if kinds.uts.mode is not Mode.PRIVATE or connection.namespace.mode is Mode.HOST:
        return host.kernel.hostname
    return host.container_id[:12]
