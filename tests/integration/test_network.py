"""Networks with the real netavark: what is made works, and what is taken down leaves nothing, however it died."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pyodcr.config import NetworkConfig
from pyodcr.errors import Conflict, NetworkFailed, NotFound, UsageError
from pyodcr.lifecycle.models import ContainerConfig, NetworkOptions, PortMapping
from pyodcr.lifecycle.network import host, names, netavark, netns, packetlock, ports
from pyodcr.lifecycle.network.attach import Attached, Networking
from pyodcr.lifecycle.network.definitions import NewNetwork
from pyodcr.lifecycle.network.status import parse, reuse
from pyodcr.lifecycle.paths import Paths
from pyodcr.linux import mounts, namespaces

pytestmark = pytest.mark.root

FIREWALLS = ("nftables", "iptables")
DEFAULT = {"pyodcr": NetworkOptions()}


def output(*argv: str | Path, check: bool = True) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def traces() -> dict[str, object]:
    """All that networks leave on a host."""
    rules = output("nft", "list", "table", "inet", "netavark", check=False)
    for tool in ("iptables-save", "ip6tables-save"):
        lines = (line for line in output(tool).splitlines() if not line.startswith("#"))
        rules += "\n".join(re.sub(r"\[\d+:\d+\]", "", line) for line in lines)
    return {
        "links": sorted(link["ifname"] for link in json.loads(output("ip", "-json", "link"))),
        "rules": rules,
        "namespaces": sorted(str(found.target) for found in mounts.table() if found.fstype == "nsfs"),
    }


@dataclass(frozen=True)
class World:
    """A root of its own, and the containers attached in it."""

    paths: Paths
    firewall: str

    @property
    def networking(self) -> Networking:
        return Networking(self.paths, NetworkConfig(firewall_driver=self.firewall))

    def container(self, name: str, **fields: Any) -> ContainerConfig:
        fields = {"networks": DEFAULT, "own_netns": True, **fields}
        namespaces_ = [{"type": "network"}, {"type": "uts"}]
        spec = {"hostname": f"{name}-host", "linux": {"namespaces": namespaces_}}
        return ContainerConfig(id=os.urandom(32).hex(), name=name, spec=spec, **fields)

    def netns(self, container: ContainerConfig) -> Path:
        return self.paths.container(container.id).netns

    def attach(self, container: ContainerConfig, **options: Any) -> Attached:
        return self.networking.attach(container, netns_path=self.netns(container), **options)

    def detach(self, container: ContainerConfig, status: Mapping[str, Any] | None = None) -> None:
        self.networking.detach(container, self.netns(container), status)

    def recorded(self) -> set[str]:
        path = self.paths.netavark / "attachments.json"
        return set(json.loads(path.read_text())["attachments"]) if path.exists() else set()


def make_world(tmp_path: Path, firewall: str) -> World:
    """netavark leaves its base chains for ever: they are made before anybody looks for leftovers."""
    world = World(Paths(tmp_path / "root", tmp_path / "run"), firewall)
    world.networking.store.create(NewNetwork(name="prime", ipv6=True, disable_dns=True))
    port = PortMapping(container_port=1, host_port=free_port())
    first = world.container("first", networks={"prime": NetworkOptions()}, ports=(port,))
    world.attach(first)
    world.detach(first)
    return world


def nobody(_container_id: str) -> bool:
    return False


def kept_clean(world: World) -> Iterator[World]:
    """Hand out the world, and see that the test leaves the host as it was."""
    before = traces()
    yield world
    recorded = world.recorded()
    world.networking.sweep(nobody)  # one test's failure is not the next one's
    assert recorded == set()
    assert traces() == before
    assert list((world.paths.runroot / "netns").iterdir()) == []


@pytest.fixture(params=FIREWALLS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A world of each of netavark's firewall drivers."""
    yield from kept_clean(make_world(tmp_path, request.param))


@pytest.fixture
def nft(tmp_path: Path) -> Iterator[World]:
    """A world of the default driver, where the firewall does not matter."""
    yield from kept_clean(make_world(tmp_path, "nftables"))


def free_port() -> int:
    (mapping,) = ports.assign([PortMapping(container_port=1)])
    return mapping.host_port


def address(attached: Attached, network: str = "pyodcr") -> str:
    (interface,) = parse(attached.status)[network].interfaces.values()
    return interface.subnets[0].ip


def answers(target: str, *, inside: Path | None = None) -> bool:
    argv: list[str | Path] = ["busybox", "ping", "-c", "1", "-W", "1", target]
    argv = netns.inside(inside, *argv) if inside else argv
    return subprocess.run([str(word) for word in argv], capture_output=True).returncode == 0


def serve(inside: Path, port: int, text: bytes) -> socket.socket:
    """A listening socket in a namespace; sockets stay in the one they were made in."""

    def listen() -> socket.socket:
        return socket.create_server(("0.0.0.0", port))

    return namespaces.in_network(inside, listen)


def fetch(server: socket.socket, target: tuple[str, int]) -> bytes:
    with socket.create_connection(target, timeout=5) as client:
        accepted, _ = server.accept()
        with accepted:
            accepted.sendall(b"hello")
        return client.recv(5)


# What is made works


def test_two_containers_reach_each_other_and_the_host(world: World) -> None:
    a, b = world.container("a"), world.container("b")
    on_a, on_b = world.attach(a), world.attach(b)
    assert answers(address(on_b), inside=world.netns(a))
    assert answers(address(on_a), inside=world.netns(b))
    assert answers("10.87.0.1", inside=world.netns(a))
    assert answers(address(on_a))
    world.detach(a)
    assert answers("10.87.0.1", inside=world.netns(b)), "the bridge went with the first of two"
    assert not answers(address(on_a), inside=world.netns(b))
    world.detach(b)


def test_published_port_leads_inside(world: World) -> None:
    port = free_port()
    a = world.container("a", ports=(PortMapping(container_port=80, host_port=port),))
    on_a = world.attach(a)
    with serve(world.netns(a), 80, b"hello") as server:
        assert fetch(server, (address(on_a), 80)) == b"hello"
        assert fetch(server, ("127.0.0.1", port)) == b"hello"
        assert fetch(server, ("10.87.0.1", port)) == b"hello"
    world.detach(a)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_static_address_mac_and_interface_name(world: World) -> None:
    wanted = NetworkOptions(static_ips=("10.87.7.7",), static_mac="92:d0:c6:0a:29:33", interface_name="lan7")
    a = world.container("a", networks={"pyodcr": wanted})
    attached = world.attach(a)
    interface = parse(attached.status)["pyodcr"].interfaces["lan7"]
    assert (interface.mac_address, interface.subnets[0].ipnet) == ("92:d0:c6:0a:29:33", "10.87.7.7/16")
    inside = json.loads(output(*netns.inside(world.netns(a), "ip", "-json", "address", "show", "lan7")))
    assert inside[0]["address"] == "92:d0:c6:0a:29:33"
    assert inside[0]["addr_info"][0]["local"] == "10.87.7.7"
    b = world.container("b", networks={"pyodcr": wanted})
    with pytest.raises(Conflict, match=f"requested ip address 10.87.7.7 is already allocated to container ID {a.id}"):
        world.attach(b)
    assert world.recorded() == {a.id}
    world.detach(a)
    world.attach(b)
    world.detach(b)


def test_a_restored_container_is_where_it_was(nft: World) -> None:
    a = nft.container("a")
    before = nft.attach(a)
    nft.detach(a, before.status)
    other = nft.container("other")
    nft.attach(other)
    after = nft.attach(a, wanted=reuse(a.networks, before.status))
    assert after.status == before.status
    nft.detach(a)
    again = nft.attach(a, wanted=reuse(a.networks, before.status, ignore_static_ip=True, ignore_static_mac=True))
    assert address(again) != address(before)
    nft.detach(a)
    nft.detach(other)


def test_two_networks_of_both_families(world: World) -> None:
    world.networking.store.create(NewNetwork(name="dual", ipv6=True, disable_dns=True))
    a = world.container("a", networks={"dual": NetworkOptions(), "pyodcr": NetworkOptions(interface_name="eth0")})
    blocks = parse(world.attach(a).status)
    assert list(blocks["pyodcr"].interfaces) == ["eth0"]
    v4, v6 = blocks["dual"].interfaces["eth1"].subnets
    assert ":" not in v4.ip
    assert answers(v6.gateway, inside=world.netns(a))
    world.detach(a)


def test_names_are_resolved_on_a_network_with_dns(nft: World) -> None:
    assert netavark.find_helper("aardvark-dns"), "the test host lacks aardvark-dns"
    network = nft.networking.store.create(NewNetwork(name="named"))
    gateway = network.subnets[0].gateway
    a, b = nft.container("a", networks={"named": NetworkOptions(aliases=("db",))}), nft.container("b")
    b = replace(b, networks={"named": NetworkOptions()})
    on_a, _ = nft.attach(a), nft.attach(b)
    for name in ("a", "db", a.id[:12], "a-host"):
        found = output(*netns.inside(nft.netns(b), "busybox", "nslookup", f"{name}.dns.podman", gateway))
        assert address(on_a, "named") in found
    names.write(nft.paths.container(a.id).run, a, on_a.status)
    resolv = (nft.paths.container(a.id).run / "resolv.conf").read_text()
    assert f"nameserver {gateway}\n" in resolv
    assert resolv.startswith("search dns.podman")
    hosts = (nft.paths.container(a.id).run / "hosts").read_text()
    assert f"{address(on_a, 'named')}\ta-host a\n" in hosts
    assert f"{gateway}\thost.containers.internal host.docker.internal\n" in hosts
    nft.detach(a)
    nft.detach(b)
    pid_file = nft.paths.netavark / "aardvark-dns/aardvark.pid"
    wait_until(lambda: not pid_file.exists() or not Path(f"/proc/{pid_file.read_text()}").exists())


def test_network_without_dns_helper_still_works(nft: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nft.networking.store.create(NewNetwork(name="named"))
    only_netavark = tmp_path / "bin"
    only_netavark.mkdir()
    found = netavark.find_helper("netavark")
    assert found is not None
    (only_netavark / "netavark").symlink_to(found)
    monkeypatch.setattr(netavark, "HELPER_DIRECTORIES", (only_netavark,))
    a = nft.container("a", networks={"named": NetworkOptions()})
    attached = nft.attach(a)
    assert parse(attached.status)["named"].dns_server_ips == ()
    nft.detach(a)


@pytest.mark.parametrize("locked", [False, True])
def test_none_has_a_loopback_only(nft: World, locked: bool) -> None:
    a = nft.container("a", own_netns=False, networks={})
    attached = nft.attach(a, locked=locked)
    assert attached == Attached(nft.netns(a), {})
    links = json.loads(output(*netns.inside(nft.netns(a), "ip", "-json", "link")))
    assert [link["ifname"] for link in links] == ["lo"]
    assert "UP" in links[0]["flags"]
    assert answers("127.0.0.1", inside=nft.netns(a)) is not locked
    nft.detach(a)
    assert not nft.netns(a).exists()


def test_namespaces_of_others_are_left_alone(nft: World) -> None:
    a = nft.container("a")
    nft.attach(a)
    path = nft.netns(a)
    sharing = replace(nft.container("b"), own_netns=False, networks={}, net_container=a.id)
    assert nft.networking.attach(sharing, netns_path=path) == Attached(path, {})
    nft.networking.detach(sharing, path)
    spec = {"linux": {"namespaces": [{"type": "network", "path": str(path)}]}}
    joining = replace(sharing, net_container="", spec=spec)
    assert nft.attach(joining) == Attached(path, {})
    nft.detach(joining)
    on_host = replace(sharing, net_container="", spec={})
    assert nft.attach(on_host) == Attached(None, {})
    nft.detach(on_host)
    assert answers("10.87.0.1", inside=path)
    nft.detach(a)
    with pytest.raises(NotFound, match="is not a network namespace"):
        nft.attach(joining)


# The packet lock


def test_locked_namespace_lets_nothing_through_until_unlocked(world: World) -> None:
    a = world.container("a")
    on_a = world.attach(a, locked=True)
    path = world.netns(a)
    server = serve(path, 80, b"")
    with server, pytest.raises(TimeoutError):
        socket.create_connection((address(on_a), 80), timeout=0.5)
    packetlock.lock(path)  # as CRIU does over ours: its jumps are there twice
    assert output(*netns.inside(path, "iptables-save")).count("-j CRIU") == 4
    packetlock.unlock(path)
    packetlock.unlock(path)
    assert answers(address(on_a))
    for tool in packetlock.FAMILIES:
        assert "CRIU" not in output(*netns.inside(path, f"{tool}-save"))
    world.detach(a)


def test_a_marked_packet_passes_the_lock(nft: World) -> None:
    """CRIU's restored sockets speak through the lock by this mark."""
    a = nft.container("a", own_netns=False, networks={})
    nft.attach(a, locked=True)

    def talk(mark: int) -> bytes:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
        ):
            two.bind(("127.0.0.1", 0))
            two.settimeout(0.5)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            one.sendto(b"x", two.getsockname())
            return two.recv(1)

    assert namespaces.in_network(nft.netns(a), lambda: talk(packetlock.MARK)) == b"x"
    with pytest.raises((TimeoutError, PermissionError)):  # dropped on output, the sender is told
        namespaces.in_network(nft.netns(a), lambda: talk(0))
    nft.detach(a)


def test_unlock_removes_the_tables_of_a_dead_criu_and_nothing_else(nft: World) -> None:
    a = nft.container("a")
    nft.attach(a)
    path = nft.netns(a)
    rules = (
        "table inet CRIU-4cf1-0a {\nchain input {\ntype filter hook input priority 0; policy drop;\n}\n}\n"
        "table inet mine {\nchain input {\ntype filter hook input priority 0; policy accept;\n}\n}\n"
    )
    subprocess.run(netns.inside(path, "nft", "-f", "-"), input=rules.encode(), check=True)
    assert not answers("10.87.0.1", inside=path)
    packetlock.unlock(path)
    assert answers("10.87.0.1", inside=path)
    tables = output(*netns.inside(path, "nft", "list", "tables"))
    assert "table inet mine" in tables
    assert "CRIU" not in tables
    nft.detach(a)


# Namespaces


def test_our_own_process_stays_where_it_is(tmp_path: Path) -> None:
    before = os.readlink("/proc/self/ns/net")
    path = tmp_path / "netns" / "one"
    netns.create(path)
    assert netns.exists(path)
    inner = namespaces.in_network(path, lambda: os.readlink("/proc/thread-self/ns/net"))
    assert inner != before
    assert {os.readlink(task / "ns/net") for task in Path("/proc/self/task").iterdir()} == {before}
    netns.create(path)
    assert namespaces.in_network(path, lambda: os.readlink("/proc/thread-self/ns/net")) != inner
    netns.remove(path)
    netns.remove(path)
    assert not netns.exists(path)
    assert not mounts.is_mounted(path)


def test_a_bare_file_is_no_namespace(tmp_path: Path) -> None:
    (tmp_path / "half").touch()
    assert not netns.exists(tmp_path / "half")
    netns.create(tmp_path / "half")
    assert netns.exists(tmp_path / "half")
    netns.remove(tmp_path / "half")


# Ports


def test_reserved_ports_are_closed_to_others() -> None:
    mapping = PortMapping(container_port=80, host_port=free_port(), protocol="tcp,udp")
    with ports.reserved([mapping]) as descriptors:
        assert len(descriptors) == 2
        with pytest.raises(Conflict, match=f"tcp port 0.0.0.0:{mapping.host_port} is already in use by container web"):
            ports.require_free([mapping], published={"web": [mapping]})
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", mapping.host_port))
    ports.require_free([mapping])


def test_a_range_is_free_all_the_way() -> None:
    (mapping,) = ports.assign([PortMapping(container_port=9000, range=5)])
    with socket.create_server(("127.0.0.1", mapping.host_port + 4)), pytest.raises(Conflict) as refused:
        ports.require_free([mapping])
    assert refused.value.code == "port-in-use"
    assert refused.value.details["port"] == mapping.host_port + 4


# Refusals


def test_refused_attach_leaves_nothing(world: World) -> None:
    with pytest.raises(NotFound, match="unable to find network with name or ID nowhere: network not found"):
        world.attach(world.container("a", networks={"nowhere": NetworkOptions()}))
    with pytest.raises(UsageError, match=r"requested static ip 10\.1\.1\.1 not in any subnet on network pyodcr"):
        world.attach(world.container("a", networks={"pyodcr": NetworkOptions(static_ips=("10.1.1.1",))}))
    with pytest.raises(NetworkFailed, match="netavark: "):
        world.attach(world.container("a", networks={"pyodcr": NetworkOptions(static_mac="not a mac")}))


def test_a_bridge_that_is_none_is_refused_in_netavarks_words(world: World) -> None:
    (default,) = (network for network in world.networking.store.list() if network.name == "pyodcr")
    output("ip", "link", "add", default.interface, "type", "veth", "peer", "name", "other-end")
    try:
        with pytest.raises(NetworkFailed, match="already exists but is a") as refused:
            world.attach(world.container("a"))
        assert str(refused.value).startswith(f"netavark: bridge interface {default.interface}")
    finally:
        output("ip", "link", "delete", default.interface)
    b = world.container("b")
    assert answers(address(world.attach(b)))
    assert world.recorded() == {b.id}, "what could not be cleared then is cleared now"
    world.detach(b)


def test_many_at_once_get_addresses_of_their_own(nft: World) -> None:
    containers = [nft.container(f"c{number}") for number in range(6)]
    with ThreadPoolExecutor(3) as pool:
        attached = list(pool.map(nft.attach, containers))
        assert len({address(one) for one in attached}) == len(containers)
        assert nft.recorded() == {container.id for container in containers}
        list(pool.map(nft.detach, containers))


def test_a_new_network_avoids_what_the_host_routes(nft: World) -> None:
    output("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    try:
        output("ip", "address", "add", "10.90.0.5/24", "dev", "up0")
        output("ip", "link", "set", "up0", "up")
        output("ip", "route", "add", "10.90.1.0/24", "dev", "up0")
        network = nft.networking.store.create(NewNetwork(name="chosen"))
        assert network.subnets[0].subnet == "10.90.2.0/24"
        assert host.outward_address() == ""
        output("ip", "route", "add", "default", "dev", "up0")
        assert host.outward_address() == "10.90.0.5"
    finally:
        output("ip", "link", "delete", "up0")


# Death at any line

STEPS = (
    "LedgerFile.write:1", "netns.create:1", "packetlock.lock:1", "Netavark.setup:1", "LedgerFile.write:2",
)  # fmt: skip
DOWN_STEPS = ("LedgerFile.write:1", "Netavark.teardown:1", "netns.remove:1", "LedgerFile.write:2", "netns.remove:2")

CHILD = """
import json, os, signal, sys
from pathlib import Path
from pyodcr import jsonio
from pyodcr.config import NetworkConfig
from pyodcr.lifecycle.models import ContainerConfig
from pyodcr.lifecycle.network import netns, packetlock
from pyodcr.lifecycle.network.attach import Networking
from pyodcr.lifecycle.network.ledger import LedgerFile
from pyodcr.lifecycle.network.netavark import Netavark
from pyodcr.lifecycle.paths import Paths

verb, step, root, runroot, firewall, text = sys.argv[1:]
place, _, nth = step.partition(":")
owner, _, name = place.partition(".")
owner = {"LedgerFile": LedgerFile, "Netavark": Netavark, "netns": netns, "packetlock": packetlock}[owner]
real, calls = getattr(owner, name), 0

def dying(*arguments):
    global calls
    real(*arguments)
    calls += 1
    if calls == int(nth):
        os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, dying)
paths = Paths(Path(root), Path(runroot))
container = jsonio.decode(ContainerConfig, json.loads(text))
networking = Networking(paths, NetworkConfig(firewall_driver=firewall))
path = paths.container(container.id).netns
if verb == "attach":
    networking.attach(container, netns_path=path, locked=True)
else:
    networking.detach(container, path)
"""


def die(world: World, container: ContainerConfig, verb: str, step: str) -> None:
    from pyodcr import jsonio

    text = json.dumps(jsonio.encode(container))
    argv = [sys.executable, "-c", CHILD, verb, step, world.paths.root, world.paths.runroot, world.firewall, text]
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, f"never came to {step}: {done.stderr}"


def published(world: World, name: str) -> ContainerConfig:
    return world.container(name, ports=(PortMapping(container_port=80, host_port=free_port()),))


@pytest.mark.parametrize("step", STEPS)
def test_killed_attach_is_undone_by_its_detach(nft: World, step: str) -> None:
    a = published(nft, "a")
    die(nft, a, "attach", step)
    nft.detach(a)


@pytest.mark.parametrize("step", STEPS)
def test_killed_attach_may_be_tried_again(nft: World, step: str) -> None:
    a = published(nft, "a")
    die(nft, a, "attach", step)
    attached = nft.attach(a)
    assert answers(address(attached))
    nft.detach(a)


@pytest.mark.parametrize("step", DOWN_STEPS)
def test_killed_detach_is_finished_by_the_next(nft: World, step: str) -> None:
    a, b = published(nft, "a"), published(nft, "b")
    nft.attach(a)
    nft.attach(b)
    die(nft, a, "detach", step)
    nft.detach(a)
    assert answers("10.87.0.1", inside=nft.netns(b))
    die(nft, b, "detach", step)
    nft.detach(b)


def test_another_container_clears_up_after_a_killed_one(nft: World) -> None:
    a, b = published(nft, "a"), published(nft, "b")
    die(nft, a, "attach", "Netavark.setup:1")
    on_b = nft.attach(b)
    assert nft.recorded() == {b.id}
    assert answers(address(on_b))
    nft.detach(b)
    nft.detach(a)


def test_lost_namespaces_are_taken_down_together(world: World) -> None:
    """Neither can go alone: each one's rules jump into the chain that the last one's teardown deletes."""
    a, b = published(world, "a"), published(world, "b")
    for container in (a, b):
        world.attach(container)
        netns.remove(world.netns(container))
    wait_until(lambda: not re.search(r"veth\d", output("ip", "link")))
    assert set(world.networking.sweep(nobody)) == {a.id, b.id}


def test_detach_without_any_record_goes_by_the_status(world: World) -> None:
    a = published(world, "a")
    attached = world.attach(a)
    (world.paths.netavark / "attachments.json").unlink()
    world.detach(a, attached.status)


def test_sweep_spares_the_living(nft: World) -> None:
    a, b = published(nft, "a"), nft.container("b", own_netns=False, networks={})
    on_a, _ = nft.attach(a), nft.attach(b)
    assert nft.networking.sweep({a.id, b.id}.__contains__) == []
    assert answers(address(on_a))
    assert nft.networking.sweep({a.id}.__contains__) == []
    assert not nft.netns(b).exists()
    assert nft.networking.sweep(nobody) == [a.id]


@pytest.mark.parametrize(("syscall", "stride"), [("sendto", 1), ("pipe2", 6)])
def test_killed_netavark_is_cleared_up_after(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syscall: str, stride: int
) -> None:
    """Killed at its Nth message to the kernel, or its Nth firewall command, for every N there is."""
    program, armed = netavark.find_helper("netavark"), tmp_path / "armed"
    wrapper = tmp_path / "bin" / "netavark"
    wrapper.parent.mkdir()
    monkeypatch.setattr(netavark, "HELPER_DIRECTORIES", (wrapper.parent,))
    before, nth, kills = traces(), 1, 0
    while True:
        armed.touch()
        wrapper.write_text(
            f'#!/bin/sh\nrm {armed} 2>/dev/null || exec {program} "$@"\n'
            f"exec strace -qq -o /dev/null -e trace={syscall} -e signal=none "
            f'-e inject={syscall}:signal=KILL:when={nth} {program} "$@"\n'
        )
        wrapper.chmod(0o755)
        a = published(world, "a")
        try:
            world.attach(a)
        except NetworkFailed:
            kills += 1
            assert world.recorded() == set(), f"killed at {syscall} {nth}"
            assert traces() == before, f"killed at {syscall} {nth}"
        else:
            world.detach(a)
            break
        nth += stride
    assert kills >= 2


def wait_until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
