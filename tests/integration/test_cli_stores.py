"""image, volume, network and system on the command line, with containers that use what they are about."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.box import COUNTER, Box
from tests.support.ociimages import OciImage, file, layer, write_docker_archive
from tests.support.registry import registry

pytestmark = pytest.mark.root

NAME = "localhost/busybox:latest"
LOOP = ("/bin/sh", "-c", COUNTER)


@pytest.fixture
def stocked(one_box: Box, tarball: Path) -> Box:
    one_box.run("image", "import", tarball, "busybox", "--change", 'CMD ["/bin/true"]')
    return one_box


def image_id(box: Box, name: str = "busybox") -> str:
    return box.run("image", "inspect", name, "--format", "{{.Id}}")


# --- images ---------------------------------------------------------------------------------


def test_import_from_standard_input(one_box: Box, tarball: Path) -> None:
    said = one_box.run(
        *("image", "import", "-", "piped:1", "-c", 'CMD ["/bin/true"]', "-c", "ENV A=b", "-m", "note"),
        stdin=tarball.read_bytes(),
    )
    assert said == f"sha256:{image_id(one_box, 'piped:1')}"
    (shown,) = json.loads(one_box.run("image", "inspect", "piped:1"))
    assert (shown["RepoTags"], shown["Comment"]) == (["localhost/piped:1"], "note")
    assert shown["Config"] == {"Cmd": ["/bin/true"], "Env": ["A=b"]}
    assert one_box.run("image", "inspect", "piped:1", "--format", "{{.Config.Labels}}|{{.Config.User}}") == "map[]|"
    assert one_box.run("run", "--rm", "--network", "none", "piped:1") == ""


def test_import_of_rubbish_leaves_nothing(one_box: Box, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(os.urandom(4096))
    one_box.fail("image", "import", rubbish, "rubbish", code="image-invalid")
    one_box.fail("image", "import", "-", "rubbish", stdin=b"", code="image-invalid")
    assert one_box.run("image", "ls", "--quiet") == ""
    assert not list((one_box.root / "images/staging").iterdir())


def test_list(stocked: Box) -> None:
    stocked.run("image", "tag", "busybox", "other:1", "registry.example/deep/path:2")
    identity = image_id(stocked)
    heading, *lines = stocked.run("image", "ls").splitlines()
    assert heading.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert sorted(tuple(line.split()[:3]) for line in lines) == [
        ("localhost/busybox", "latest", identity[:12]),
        ("localhost/other", "1", identity[:12]),
        ("registry.example/deep/path", "2", identity[:12]),
    ]
    assert stocked.run("image", "ls", "-q") == identity[:12]
    assert stocked.run("image", "ls", "-q", "--no-trunc") == f"sha256:{identity}"
    assert stocked.run("image", "ls", "other", "--format", "{{.Repository}}:{{.Tag}}") == "localhost/other:1"
    assert "sha256:" in stocked.run("image", "ls", "busybox", "--digests", "-n").split()[2]
    (summary,) = json.loads(stocked.run("image", "ls", "--format", "json"))
    assert (summary["Id"], len(summary["Names"]), summary["Containers"]) == (identity, 3, 0)


def test_remove_one_of_several_names(stocked: Box) -> None:
    stocked.run("image", "tag", "busybox", "other:1", "third")
    stocked.run("create", "--name", "c", "--network", "none", "busybox")
    assert stocked.run("image", "rm", "other:1") == "Untagged: localhost/other:1"
    # by force too: it keeps another name, so its container is none of our business
    assert stocked.run("image", "rm", "--force", "third") == "Untagged: localhost/third:latest"
    assert stocked.run("ps", "-a", "--format", "{{.Names}}") == "c"
    stocked.fail("image", "rm", "busybox", status=2, code="image-in-use")
    stocked.fail("image", "rm", "nobody", status=1, code="not-found")
    identity = image_id(stocked)
    said = stocked.run("image", "rm", "--force", "busybox")
    assert said.splitlines() == [f"Untagged: {NAME}", f"Deleted: {identity}"]
    assert stocked.containers() == []


def test_remove_by_id_and_all(stocked: Box) -> None:
    identity = image_id(stocked)
    stocked.run("image", "tag", "busybox", "other:1")
    stocked.fail("image", "rm", identity[:12], code="image-names")
    stocked.run("run", "-d", "--name", "c", "--network", "none", "busybox", *LOOP)
    stocked.fail("image", "rm", "--all", status=2, code="image-in-use")
    assert len(stocked.run("image", "ls", "-n").splitlines()) == 2  # neither name is gone
    stocked.run("rm", "-f", "-t", "0", "c")
    said = stocked.run("image", "rm", "--all").splitlines()
    assert sorted(said) == [f"Deleted: {identity}", f"Untagged: {NAME}", "Untagged: localhost/other:1"]
    assert not list((stocked.root / "images/layers").iterdir())


def test_pull(one_box: Box, tmp_path: Path) -> None:
    image = OciImage([layer(file("hello", b"x"))], {"Cmd": ["/hello"]})
    with registry() as hub:
        hub.push("team/app", "1", image)
        name = hub.name("team/app", "1")
        identity = one_box.run("image", "pull", "--tls-verify=false", "--quiet", name)
        assert image_id(one_box, name) == identity
        assert one_box.run("image", "pull", "--policy", "missing", name) == identity
        one_box.fail("image", "pull", "--tls-verify=false", hub.name("team/app", "2"), code="not-found")
    one_box.fail("image", "pull", "--tls-verify=false", name)  # the registry is away
    assert one_box.run("image", "pull", "--policy", "never", name) == identity
    one_box.fail("image", "pull", "--policy", "never", "nobody", code="not-found")
    archive = tmp_path / "docker.tar"
    write_docker_archive(archive, [(image, ["localhost/from:archive"])])
    pulled = one_box.run("image", "pull", f"docker-archive:{archive}")
    assert image_id(one_box, "from:archive") == pulled


# --- volumes and networks -------------------------------------------------------------------


def test_a_volume_in_use(stocked: Box) -> None:
    stocked.run("run", "-d", "--name", "c", "--network", "none", "-v", "data:/data", "busybox", *LOOP)
    stocked.run("volume", "create", "idle")
    stocked.fail("volume", "rm", "data", status=2, code="volume-in-use")
    stocked.fail("volume", "rm", "nobody", status=1, code="not-found")
    assert stocked.run("volume", "ls", "-q", "-f", "dangling=true") == "idle"
    assert stocked.run("volume", "rm", "--force", "--time", "0", "data") == "data"
    assert stocked.containers() == []
    assert stocked.run("volume", "rm", "--all") == "idle"


def test_a_network_in_use(stocked: Box) -> None:
    stocked.run("network", "create", "net")
    stocked.run("network", "create", "idle")
    stocked.run("run", "-d", "--name", "c", "--network", "net", "busybox", *LOOP)
    (shown,) = json.loads(stocked.run("network", "inspect", "net"))
    (attached,) = shown["containers"].values()
    assert attached["name"] == "c"
    assert attached["interfaces"]["eth0"]["subnets"][0]["gateway"] == shown["subnets"][0]["gateway"]
    stocked.fail("network", "rm", "net", status=2, code="network-in-use")
    stocked.fail("network", "rm", "nobody", status=1, code="not-found")
    assert stocked.run("network", "ls", "-q", "-f", "dangling=true") == "idle"
    assert stocked.run("network", "rm", "--force", "--time", "0", "net", "idle").split() == ["net", "idle"]
    assert stocked.containers() == []


# --- the host -------------------------------------------------------------------------------


def test_info_counts(stocked: Box) -> None:
    stocked.run("run", "-d", "--name", "up", "--network", "none", "busybox", *LOOP)
    stocked.run("create", "--name", "new", "--network", "none", "busybox")
    store = json.loads(stocked.run("info", "--format", "json"))["store"]
    assert store["containerStore"] == {"number": 2, "paused": 0, "running": 1, "stopped": 1}
    assert store["imageStore"] == {"number": 1}


def test_version_names_the_programs(one_box: Box) -> None:
    client = json.loads(one_box.run("version", "--format", "json"))["Client"]
    assert all(client.values()), client


def test_check(one_box: Box) -> None:
    results = json.loads(one_box.run("system", "check", "--format", "json"))
    assert {"criu", "crun", "runc", "conmon"} <= {result["name"] for result in results if result["status"] == "ok"}
    lines = one_box.run("system", "check").splitlines()
    assert lines[0].split() == ["NAME", "STATUS", "FOUND"]
    assert max(map(len, lines)) <= 100


def test_check_of_a_host_that_cannot(one_box: Box) -> None:
    one_box.runtime = "/no/such/runtime"
    done = one_box.call("system", "check")
    assert done.returncode == 1
    assert b"default-runtime  failed" in done.stdout


@pytest.fixture
def garbage(stocked: Box) -> tuple[Box, list[Path]]:
    """What kills at bad moments leave, beside a container that runs and a volume that holds something."""
    stocked.run("run", "-d", "--name", "c", "--network", "none", "-v", "data:/data", "busybox", *LOOP)
    gone, operation = "a" * 64, "b" * 16
    left = [
        stocked.root / "containers" / gone,
        stocked.root / "staging" / operation,
        stocked.root / "volumes/.removed-0123",
        stocked.root / "images/staging/1-1-x",
        stocked.root / "images/layers" / ("c" * 64),
        stocked.runroot / "containers" / gone,
        stocked.runroot / "persist" / gone,
        stocked.runroot / "hooks" / operation,
    ]
    for path in left:
        (path / "sub").mkdir(parents=True)
    lock = stocked.runroot / "locks" / ("d" * 64)
    lock.touch()
    return stocked, [*left, lock]


def test_prune(garbage: tuple[Box, list[Path]]) -> None:
    box, left = garbage
    before = box.count("c")
    said = box.run("system", "prune", "--force").splitlines()
    assert sorted(said) == [
        f"container: {'a' * 64}",
        f"container: {'d' * 64}",
        f"image data: layers/{'c' * 64}",
        "image data: staging/1-1-x",
        f"staging: {'b' * 16}",
        "volume data: .removed-0123",
    ]
    assert [path for path in left if path.exists()] == []
    assert box.run("system", "prune", "--force") == ""
    box.counts_on("c", above=before)
    assert box.run("volume", "ls", "-q") == "data"
    assert box.run("image", "ls", "-q")
    assert (box.root / "state.sqlite").exists()
