"""What `ps` makes of a container; that it lists real ones is shown by the integration tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pyodcr.cli import ps
from pyodcr.errors import UsageError
from pyodcr.lifecycle.models import Container, ContainerConfig, ContainerState, PortMapping, Status
from pyodcr.lifecycle.ops.listing import GO_ZERO_TIME_S, Sizes, entry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CONFIG = ContainerConfig(
    id="0123456789abcdef" * 4,
    name="web",
    created_at=NOW - timedelta(hours=2),
    image_id="fedcba9876543210" * 4,
    image_name="docker.io/library/nginx:latest",
    command=("nginx", "-g", "daemon off;", "-c", "/etc/nginx.conf"),
    labels={"app": "web", "tier": "front"},
    networks={},
    ports=(PortMapping(container_port=80, host_port=8080),),
    exposed_ports={"80": ["tcp"], "443": ["tcp"]},
)
STATE = ContainerState(status=Status.RUNNING, pid=42, started_at=NOW - timedelta(minutes=3))
ENTRY = entry(Container(CONFIG, STATE))

# Podman 5's, in full
JSON_KEYS = """AutoRemove CIDFile Command Created CreatedAt ExitCode Exited ExitedAt ExposedPorts Id Image ImageID
    IsInfra Labels Mounts Names Namespaces Networks Pid Pod PodName Ports Restarts Size StartedAt State Status"""


def test_json_has_podmans_keys() -> None:
    found = ps.as_json(ENTRY, NOW)
    assert sorted(found) == sorted(JSON_KEYS.split())
    assert (found["Created"], found["CreatedAt"]) == (int((NOW - timedelta(hours=2)).timestamp()), "2 hours ago")
    assert (found["State"], found["Status"]) == ("running", "Up 3 minutes")
    assert (found["Exited"], found["ExitedAt"]) == (False, GO_ZERO_TIME_S)
    assert found["Ports"] == [
        {"host_ip": "", "container_port": 80, "host_port": 8080, "range": 1, "protocol": "tcp"},
    ]
    assert found["Size"] is None


def test_a_row_is_short_unless_told_otherwise() -> None:
    row, whole = ps.row(ENTRY, NOW, short=True), ps.row(ENTRY, NOW, short=False)
    assert (row["ID"], row["ImageID"], row["Command"]) == ("0123456789ab", "fedcba987654", "nginx -g daemon o...")
    assert (whole["ID"], whole["Command"]) == (CONFIG.id, "nginx -g daemon off; -c /etc/nginx.conf")
    assert (row["Names"], row["CreatedHuman"], row["RunningFor"]) == ("web", "2 hours ago", "2 hours ago")
    assert (row["Ports"], row["Size"]) == ("0.0.0.0:8080->80/tcp, 443/tcp", "")
    assert (row["Label"]("app"), row["Label"]("nope")) == ("web", "")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (ContainerState(), "Created"),
        (ContainerState(status=Status.CREATED), "Initialized"),
        (ContainerState(status=Status.PAUSED), "Paused"),
        (ContainerState(status=Status.STOPPING), "Stopping"),
        (STATE, "Up 3 minutes"),
        (ContainerState(status=Status.EXITED, exit_code=137, finished_at=NOW), "Exited (137) Less than a second ago"),
        (
            ContainerState(status=Status.STOPPED, exit_code=1, finished_at=NOW - timedelta(days=3)),
            "Exited (1) 3 days ago",
        ),
    ],
)
def test_status(state: ContainerState, said: str) -> None:
    assert ps.status_text(entry(Container(CONFIG, state)), NOW) == said


def test_size() -> None:
    sized = entry(Container(CONFIG, STATE), Sizes(rw_bytes=1234, rootfs_bytes=2_181_120))
    assert sized["Size"] == {"rwSize": 1234, "rootFsSize": 2_181_120}
    assert ps.row(sized, NOW, short=True)["Size"] == "1.23kB (virtual 2.18MB)"


def _mapping(**values: Any) -> dict[str, Any]:
    return {"host_ip": "", "host_port": 0, "container_port": 0, "range": 1, "protocol": "tcp"} | values


@pytest.mark.parametrize(
    ("mappings", "exposed", "said"),
    [
        ([], {}, ""),
        ([_mapping(host_port=8080, container_port=80)], {}, "0.0.0.0:8080->80/tcp"),
        ([_mapping(host_ip="127.0.0.1", host_port=53, container_port=53, protocol="udp")], {}, "127.0.0.1:53->53/udp"),
        (
            [_mapping(host_port=8000, container_port=9000, range=3)],
            {"9001": ["tcp"]},
            "0.0.0.0:8000-8002->9000-9002/tcp",
        ),
        ([], {"81": ["tcp"], "80": ["tcp", "udp"], "82": ["tcp"], "90": ["tcp"]}, "80-82/tcp, 90/tcp, 80/udp"),
    ],
)
def test_ports(mappings: list[dict[str, Any]], exposed: dict[str, list[str]], said: str) -> None:
    assert ps.ports_text(mappings, exposed) == said


def test_an_empty_root(said: Callable[..., str]) -> None:
    assert said("ps").split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert said("ps", "--noheading") == said("ps", "-aq") == said("ps", "--format", "{{.ID}}") == ""
    assert said("ps", "--format", "json") == "[]\n"
    assert said("container", "ls", "--quiet") == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--latest", "--last", "3"], "last and latest are mutually exclusive"),
        (["--quiet", "--size"], "quiet conflicts with size"),
        (["--filter", "web"], 'invalid filter "web"'),
        (["--filter", "colour=red"], "colour is an invalid filter"),
        (["--filter", "status=well"], "unknown container state: well"),
        (["--format", "{{.ID"], "invalid template: unclosed action at character 1"),
    ],
)
def test_what_makes_no_sense(said: Callable[..., str], words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        said("ps", *words)
    assert caught.value.message == message
