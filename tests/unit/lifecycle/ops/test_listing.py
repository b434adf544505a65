from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pyodcr.errors import NotFound, UsageError
from pyodcr.lifecycle.models import (
    Container,
    ContainerConfig,
    ContainerState,
    NamedVolume,
    NetworkOptions,
    Status,
)
from pyodcr.lifecycle.ops.listing import ListOptions, choose

START = datetime(2026, 5, 1, tzinfo=UTC)

WEB = Container(
    ContainerConfig(
        id="aa" * 32,
        name="web",
        created_at=START,
        image_id="11" * 32,
        image_name="docker.io/library/nginx:1.27",
        labels={"app": "web", "tier": "front"},
        networks={"n1": NetworkOptions()},
        restart_policy="always",
        spec={"mounts": [{"source": "/srv", "destination": "/www", "type": "bind"}]},
    ),
    ContainerState(status=Status.RUNNING),
)
DB = Container(
    ContainerConfig(
        id="ab" * 32,
        name="db",
        created_at=START + timedelta(hours=1),
        image_id="22" * 32,
        image_name="localhost/redis:latest",
        labels={"app": "db"},
        named_volumes=(NamedVolume(name="data", dest="/data"),),
        net_container=WEB.id,
    ),
    ContainerState(status=Status.EXITED, exited=True, exit_code=3),
)
NEW = Container(
    ContainerConfig(id="cc" * 32, name="new", created_at=START + timedelta(hours=2), rootfs="/srv/tree"),
    ContainerState(),
)
GONE = Container(
    ContainerConfig(id="dd" * 32, name="gone", created_at=START + timedelta(hours=3)),
    ContainerState(status=Status.STOPPED, exited=True),
)
ALL = [GONE, NEW, WEB, DB]


def find(ref: str) -> Container:
    for container in ALL:
        if ref in (container.name, container.id):
            return container
    raise NotFound(ref)


def names(**options: object) -> list[str]:
    return [container.name for container in choose(ALL, ListOptions(**options), find)]  # type: ignore[arg-type]


def test_running_ones_or_all_oldest_first() -> None:
    assert names() == ["web"]
    assert names(all=True) == ["web", "db", "new", "gone"]


def test_the_newest_in_any_state() -> None:
    assert names(last=1) == ["gone"]
    assert names(last=2) == ["new", "gone"]
    assert names(last=9) == ["web", "db", "new", "gone"]
    assert names(last=1, filters=("label=app",)) == ["db"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["id=aa"], ["web"]),
        (["id=a"], ["web", "db"]),
        (["name=e"], ["web", "new", "gone"]),
        (["name=^(web|db)$"], ["web", "db"]),
        (["name=/web"], ["web"]),
        (["name=web", "name=db"], ["web", "db"]),
        (["label=app"], ["web", "db"]),
        (["label=app=web"], ["web"]),
        (["label=app=w*"], ["web"]),
        (["label=app", "label=tier"], ["web"]),
        (["label!=tier"], ["db", "new", "gone"]),
        (["status=running"], ["web"]),
        (["status=exited"], ["db", "gone"]),
        (["status=stopped", "status=created"], ["db", "new", "gone"]),
        (["exited=3"], ["db"]),
        (["exited=0"], ["gone"]),
        (["ancestor=nginx"], ["web"]),
        (["ancestor=" + "22" * 32], ["db"]),
        (["ancestor=1111"], ["web"]),
        (["volume=data"], ["db"]),
        (["volume=/data"], ["db"]),
        (["volume=data:/data"], ["db"]),
        (["volume=data:/elsewhere"], []),
        (["volume=/www"], ["web"]),
        (["volume=/srv:/www"], ["web"]),
        (["network=n1"], ["web"]),
        (["network=container:web"], ["db"]),
        (["network=container:nobody"], []),
        (["before=new"], ["web", "db"]),
        (["since=web"], ["db", "new", "gone"]),
        (["restart-policy=always"], ["web"]),
        (["restart-policy=none"], ["db", "new", "gone"]),
        (["label=app", "status=exited"], ["db"]),
    ],
)
def test_filters(filters: list[str], expected: list[str]) -> None:
    assert names(all=True, filters=tuple(filters)) == expected


def test_a_status_stands_for_all() -> None:
    assert names(filters=("status=created",)) == ["new"]
    assert names(filters=("name=new",)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name", 'invalid filter "name"'),
        ("colour=red", "colour is an invalid filter"),
        ("status=well", "unknown container state: well"),
        ("exited=x", "exited code out of range x"),
        ("restart-policy=x", "x invalid restart policy"),
    ],
)
def test_bad_filters(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        names(filters=(text,))
    assert caught.value.message == message


def test_a_bad_expression_is_told() -> None:
    with pytest.raises(UsageError, match="is not a regular expression"):
        names(filters=("name=(",))


def test_a_container_that_is_not_there() -> None:
    with pytest.raises(NotFound):
        names(filters=("before=nobody",))
