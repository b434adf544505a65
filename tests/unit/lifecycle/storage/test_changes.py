"""--change, as Podman reads it."""

from __future__ import annotations

import pytest

from pyodcr.errors import UsageError
from pyodcr.lifecycle.storage import changes
from pyodcr.lifecycle.storage.images import ImageConfig


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (['CMD ["redis-server", "--port", "1"]'], ImageConfig(cmd=("redis-server", "--port", "1"))),
        (["CMD echo $HOME"], ImageConfig(cmd=("/bin/sh", "-c", "echo $HOME"))),
        (["CMD=/bin/top"], ImageConfig(cmd=("/bin/sh", "-c", "/bin/top"))),
        (["cmd []"], ImageConfig(cmd=())),
        (["CMD [1]"], ImageConfig(cmd=("/bin/sh", "-c", "[1]"))),
        (['ENTRYPOINT ["/init"]'], ImageConfig(entrypoint=("/init",))),
        (["ENTRYPOINT=", "ENTRYPOINT /init -v"], ImageConfig(entrypoint=("/bin/sh", "-c", "/init -v"))),
        (["ENV A=b", 'ENV "C"="d e"', "ENV A=x=y", "ENV E"], ImageConfig(env=("C=d e", "A=x=y", "E="))),
        (["EXPOSE 80", "EXPOSE 53/UDP"], ImageConfig(exposed_ports={"80/tcp": {}, "53/udp": {}})),
        (["LABEL a=b", 'LABEL "c d"="e"'], ImageConfig(labels={"a": "b", "c d": "e"})),
        (["USER redis:redis"], ImageConfig(user="redis:redis")),
        (['VOLUME ["/a", "/b c"]', "VOLUME /d /e"], ImageConfig(volumes={"/a": {}, "/b c": {}, "/d": {}, "/e": {}})),
        (["WORKDIR /a", "WORKDIR b/../c"], ImageConfig(working_dir="/a/c")),
        (["STOPSIGNAL SIGTERM"], ImageConfig(stop_signal="15")),
        (["STOPSIGNAL usr1"], ImageConfig(stop_signal="10")),
        (["STOPSIGNAL 9"], ImageConfig(stop_signal="9")),
        (["ONBUILD RUN x", "ONBUILD RUN y"], ImageConfig(on_build=("RUN x", "RUN y"))),
    ],
)
def test_applies(given: list[str], expected: ImageConfig) -> None:
    assert changes.apply(given) == expected


def test_what_is_not_changed_stays() -> None:
    base = ImageConfig(env=("PATH=/bin",), user="me", extra={"Shell": ["/bin/ash"]})
    assert changes.apply(["ENV A=1"], base) == ImageConfig(
        env=("PATH=/bin", "A=1"), user="me", extra={"Shell": ["/bin/ash"]}
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("CMD", "KEY VALUE"),
        ("FROM x", "no instruction FROM"),
        ("USER ", "no value"),
        ("EXPOSE http", "port"),
        ("EXPOSE 0", "port"),
        ("EXPOSE 65536/tcp", "port"),
        ("EXPOSE 1/sctp", "port"),
        ("ENV =x", "NAME=VALUE"),
        ("LABEL x", "NAME=VALUE"),
        ("LABEL =x", "NAME=VALUE"),
        ("VOLUME []", "no path"),
        ('VOLUME [""]', "no value"),
        ("WORKDIR ", "no value"),
        ("STOPSIGNAL SIGNOPE", "signal"),
        ("STOPSIGNAL 0", "signal"),
        ("STOPSIGNAL 99", "signal"),
        ("ONBUILD ", "no value"),
    ],
)
def test_says_which_change_is_wrong(given: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        changes.apply(["USER x", given])
    assert given in str(caught.value)
    assert caught.value.code == "invalid-change"
