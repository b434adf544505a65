"""Images from every kind of place, unpacked, mounted, and removed: real skopeo, real tar, real overlayfs."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pyodcr.errors import (
    Conflict,
    ImageInvalid,
    NotFound,
    PyodcrError,
    SystemFailed,
    Unsupported,
    UsageError,
)
from pyodcr.lifecycle.storage import imageinspect, overlay
from pyodcr.lifecycle.storage.images import Healthcheck, Image
from pyodcr.lifecycle.storage.imagestore import ImageStore
from pyodcr.lifecycle.storage.progress import Phase, Step
from pyodcr.lifecycle.storage.pulling import PullPolicy
from pyodcr.lifecycle.storage.skopeo import Access
from pyodcr.linux import mounts
from tests.support import ociimages
from tests.support.ociimages import (
    DOCKER,
    OciImage,
    directory,
    file,
    hardlink,
    layer,
    opaque,
    symlink,
    whiteout,
    write_docker_archive,
)
from tests.support.registry import Registry, registry

pytestmark = pytest.mark.root

INSECURE = Access(tls_verify=False)

BASE = layer(
    directory("."),
    directory("etc"),
    file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"),
    file("etc/gone", b"gone"),
    directory("opt"),
    directory("opt/old"),
    file("opt/old/a", b"a"),
    file("opt/old/b", b"b"),
    directory("usr/bin"),
    file("usr/bin/su", b"#!", mode=0o4755),
    file("usr/bin/ping", b"#!", xattrs={"user.note": "kept"}),
    hardlink("usr/bin/ping6", "usr/bin/ping"),
    symlink("bin", "usr/bin"),
    directory("tmp", mode=0o1777),
    file("srv", b"", uid=1000, gid=1001, mode=0o640),
)
MIDDLE = layer(
    whiteout("etc/gone"),
    directory("opt/old"),
    opaque("opt/old"),
    file("opt/old/c", b"c"),
)
TOP = layer(file("etc/motd", b"hello\n"), directory("var"), directory("var/empty", mode=0o700))

CONFIG = {
    "User": "1000:1000",
    "Env": ["PATH=/bin", "A=b"],
    "Entrypoint": ["/bin/init"],
    "Cmd": ["-v"],
    "WorkingDir": "/srv",
    "Labels": {"maintainer": "me"},
    "Volumes": {"/data": {}},
    "ExposedPorts": {"6379/tcp": {}},
    "StopSignal": "SIGINT",
}


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "root" / "images")


@pytest.fixture
def image() -> OciImage:
    return OciImage([BASE, MIDDLE, TOP], CONFIG)


@pytest.fixture
def hub() -> Iterator[Registry]:
    with registry() as found:
        yield found


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A directory for container layers, cleared of mounts at the end."""
    place = tmp_path / "containers"
    place.mkdir()
    yield place
    mounts.unmount_below(place)


def pull(store: ImageStore, tmp_path: Path, image: OciImage, name: str) -> Image:
    """Pull it from a layout of its own, as ``localhost/NAME``."""
    path = image.write_layout(tmp_path / f"layout-{time.monotonic_ns()}", f"localhost/{name}")
    return store.pull(f"oci:{path}:localhost/{name}")


def left_behind(store: ImageStore) -> list[str]:
    staging = store.root / "staging"
    return sorted(path.name for path in staging.iterdir()) if staging.exists() else []


def layers_on_disk(store: ImageStore) -> set[str]:
    layers = store.root / "layers"
    links = {link.resolve().parent.name for link in (store.root / "l").iterdir()}
    found = {path.name for path in layers.iterdir()}
    assert links == found  # one short name for each
    return {f"sha256:{name}" for name in found}


# Where images come from


def test_an_oci_layout_mounts_as_the_files_it_is_made_of(
    store: ImageStore, image: OciImage, tmp_path: Path, mounted: Path
) -> None:
    pulled = pull(store, tmp_path, image, "x:1")

    assert pulled.id == image.id
    assert pulled.names == ("localhost/x:1",)
    assert pulled.digest == ociimages.digest(image.manifest)
    assert pulled.layers == tuple(ociimages.digest(blob) for blob in image.layers)
    assert pulled.size_bytes == sum(map(len, image.layers))
    assert pulled.config.entrypoint == ("/bin/init",)
    assert pulled.config.exposed_ports == {"6379/tcp": {}}
    assert pulled.config.labels == {"maintainer": "me"}
    assert str(pulled.created) == "2024-05-06 07:08:09.123456+00:00"
    assert left_behind(store) == []

    root = overlay.mount(mounted / "c", store.lower_dirs(pulled))
    assert sorted(os.listdir(root)) == ["bin", "etc", "opt", "srv", "tmp", "usr", "var"]
    assert sorted(os.listdir(root / "etc")) == ["motd", "passwd"]
    assert os.listdir(root / "opt/old") == ["c"]
    assert stat.S_IMODE((root / "usr/bin/su").stat().st_mode) == 0o4755
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert stat.S_IMODE((root / "var/empty").stat().st_mode) == 0o700
    assert os.getxattr(root / "usr/bin/ping", "user.note") == b"kept"
    assert (root / "usr/bin/ping").stat().st_ino == (root / "usr/bin/ping6").stat().st_ino
    assert os.readlink(root / "bin") == "usr/bin"
    assert ((root / "srv").stat().st_uid, (root / "srv").stat().st_gid) == (1000, 1001)
    assert (root / "etc/passwd").stat().st_mtime == 1_600_000_000
    overlay.unmount(mounted / "c")


@pytest.mark.parametrize("compress", [ociimages.plain, ociimages.zstd])
def test_layers_of_every_compression(store: ImageStore, tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    image = OciImage([BASE, TOP], compress=compress)
    assert pull(store, tmp_path, image, "x").id == image.id


def test_a_docker_archive_keeps_its_ids_and_its_health_check(store: ImageStore, tmp_path: Path) -> None:
    health = {"Test": ["CMD", "true"], "Interval": 5_000_000_000, "Retries": 2}
    image = OciImage([BASE, TOP], {"Healthcheck": health}, types=DOCKER)
    archive = write_docker_archive(tmp_path / "a.tar", [(image, ["redis:7", "quay.io/x/redis:7"])])
    pulled = store.pull(f"docker-archive:{archive}")
    assert pulled.id == image.id
    assert pulled.names == ("quay.io/x/redis:7", "localhost/redis:7")
    assert pulled.config.healthcheck == Healthcheck(test=("CMD", "true"), interval_ns=5_000_000_000, retries=2)


def test_one_of_several_images_of_a_docker_archive(store: ImageStore, tmp_path: Path) -> None:
    one, two = OciImage([BASE]), OciImage([TOP])
    archive = write_docker_archive(tmp_path / "a.tar", [(one, ["one:1"]), (two, ["two:2"])])
    with pytest.raises(UsageError, match="holds 2 images") as caught:
        store.pull(f"docker-archive:{archive}")
    assert "one:1, two:2" in str(caught.value.hint)
    assert store.pull(f"docker-archive:{archive}:two:2").id == two.id
    assert store.pull(f"docker-archive:{archive}:@0").names == ("localhost/one:1",)


@pytest.mark.parametrize("transport", ["oci-archive", "dir", "docker-archive"])
def test_what_skopeo_writes_we_read(store: ImageStore, image: OciImage, tmp_path: Path, transport: str) -> None:
    layout = image.write_layout(tmp_path / "layout", "x")
    target = f"{transport}:{tmp_path / 'out'}" + (":quay.io/me/x:1" if transport != "dir" else "")
    subprocess.run(["skopeo", "copy", "-q", f"oci:{layout}:x", target], check=True)
    pulled = store.pull(f"{transport}:{tmp_path / 'out'}")
    assert pulled.names == (("quay.io/me/x:1",) if transport != "dir" else ())
    assert pulled.layers == tuple(ociimages.digest(blob) for blob in image.layers)
    if transport != "docker-archive":  # there skopeo makes a Docker configuration of it: another ID
        assert pulled.id == image.id


def test_a_registry(store: ImageStore, image: OciImage, hub: Registry) -> None:
    digest = hub.push("team/x", "1", image)
    pulled = store.pull(hub.name("team/x", "1"), access=INSECURE)
    assert pulled.id == image.id
    assert pulled.names == (hub.name("team/x", "1"),)
    assert pulled.digests == (digest,)
    assert store.lookup(f"{hub.address}/team/x@{digest}").id == image.id
    assert store.lookup("team/x:1").id == image.id


def test_the_image_for_this_platform_is_taken_from_a_list(store: ImageStore, hub: Registry) -> None:
    images = {"amd64": OciImage([BASE]), "arm64": OciImage([TOP], top={"architecture": "arm64"})}
    list_digest = hub.push_list("x", "1", images)
    ours = images["arm64" if os.uname().machine == "aarch64" else "amd64"]
    pulled = store.pull(hub.name("x", "1"), access=INSECURE)
    assert pulled.id == ours.id
    assert pulled.digest == ociimages.digest(ours.manifest)
    assert set(pulled.digests) == {ociimages.digest(ours.manifest), list_digest}
    assert store.lookup(f"{hub.address}/x@{list_digest}").id == ours.id


def test_a_list_without_this_platform(store: ImageStore, hub: Registry) -> None:
    hub.push_list("x", "1", {"s390x": OciImage([BASE], top={"architecture": "s390x"})})
    with pytest.raises(Unsupported, match="no image for this host") as caught:
        store.pull(hub.name("x", "1"), access=INSECURE)
    assert caught.value.code == "wrong-architecture"


def test_an_image_of_another_platform_comes_with_a_warning(store: ImageStore, hub: Registry) -> None:
    hub.push("x", "1", OciImage([BASE], top={"architecture": "s390x"}))
    steps: list[Step] = []
    store.pull(hub.name("x", "1"), access=INSECURE, report=steps.append)
    assert "is for linux/s390x" in next(step.subject for step in steps if step.phase is Phase.WARNING)
    hub.push("x", "2", OciImage([BASE], top={"os": "windows"}))
    with pytest.raises(Unsupported, match="windows/amd64"):
        store.pull(hub.name("x", "2"), access=INSECURE)


def test_credentials(store: ImageStore, image: OciImage, hub: Registry, tmp_path: Path) -> None:
    hub.credentials = "me:secret"
    hub.push("x", "1", image)
    with pytest.raises(PyodcrError) as caught:
        store.pull(hub.name("x", "1"), access=INSECURE)
    assert caught.value.code == "registry-denied"
    pulled = store.pull(hub.name("x", "1"), access=Access(tls_verify=False, creds="me:secret"))
    assert pulled.id == image.id
    assert left_behind(store) == []
    auth = tmp_path / "auth.json"
    auth.write_text(json.dumps({"auths": {hub.address: {"auth": "bWU6c2VjcmV0"}}}))
    store.remove(image.id, force=True)
    assert store.pull(hub.name("x", "1"), access=Access(tls_verify=False, authfile=auth)).id == image.id


# When they are fetched


def test_policies(store: ImageStore, hub: Registry) -> None:
    name = hub.name("x", "1")
    with pytest.raises(NotFound, match="image not known"):
        store.pull(name, policy=PullPolicy.NEVER, access=INSECURE)
    first = OciImage([BASE])
    hub.push("x", "1", first)
    store.pull(name, access=INSECURE)

    hub.requests.clear()
    assert store.pull(name, access=INSECURE).id == first.id
    assert store.pull(name, policy=PullPolicy.NEVER).id == first.id
    assert hub.requests == []

    for policy in (PullPolicy.ALWAYS, PullPolicy.NEWER):
        assert store.pull(name, policy=policy, access=INSECURE).id == first.id
    assert hub.requests  # asked,
    assert not [path for path in hub.requests if "/blobs/" in path]  # but nothing fetched

    second = OciImage([BASE, TOP])
    hub.push("x", "1", second)
    assert store.pull(name, policy=PullPolicy.MISSING, access=INSECURE).id == first.id
    assert store.pull(name, policy=PullPolicy.NEWER, access=INSECURE).id == second.id
    assert store.lookup(name).id == second.id
    assert store.lookup(first.id).names == ()


def test_newer_makes_do_with_what_is_here(store: ImageStore, image: OciImage) -> None:
    with registry() as hub:
        hub.push("x", "1", image)
        name = hub.name("x", "1")
        store.pull(name, access=INSECURE)
    steps: list[Step] = []
    assert store.pull(name, policy=PullPolicy.NEWER, access=INSECURE, report=steps.append).id == image.id
    assert [step.phase for step in steps] == [Phase.WARNING]
    with pytest.raises(PyodcrError) as caught:
        store.pull(name, policy=PullPolicy.ALWAYS, access=INSECURE)
    assert caught.value.code == "registry-unreachable"
    assert "\n" not in str(caught.value)


def test_the_same_image_under_another_name_is_not_fetched_again(
    store: ImageStore, image: OciImage, hub: Registry
) -> None:
    hub.push("x", "1", image)
    hub.push("y", "2", image)
    store.pull(hub.name("x", "1"), access=INSECURE)
    hub.requests.clear()
    assert store.pull(hub.name("y", "2"), access=INSECURE).names == (hub.name("y", "2"), hub.name("x", "1"))
    assert not [path for path in hub.requests if "/blobs/" in path]


def test_an_image_that_lost_a_layer_is_pulled_again(store: ImageStore, image: OciImage, hub: Registry) -> None:
    hub.push("x", "1", image)
    pulled = store.pull(hub.name("x", "1"), access=INSECURE)
    shutil.rmtree(store.layer_dirs(pulled)[0].parent)
    with pytest.raises(ImageInvalid, match="missing"):
        store.lower_dirs(pulled)
    again = store.pull(hub.name("x", "1"), access=INSECURE)
    assert all(path.is_dir() for path in store.lower_dirs(again))


def test_an_id_is_not_pulled(store: ImageStore, image: OciImage, tmp_path: Path) -> None:
    pull(store, tmp_path, image, "x")
    assert store.pull(image.id).id == image.id
    assert store.pull(f"sha256:{image.id}", policy=PullPolicy.NEVER).id == image.id
    assert store.pull(image.id[:10]).id == image.id
    for ref in (image.id, image.id[:10]):
        with pytest.raises(UsageError, match="only a name"):
            store.pull(ref, policy=PullPolicy.ALWAYS)


# What can be wrong with them


def test_a_missing_image(store: ImageStore, hub: Registry, tmp_path: Path) -> None:
    for ref in (hub.name("x", "1"), f"oci:{tmp_path}/none", f"dir:{tmp_path}/none", f"docker-archive:{tmp_path}/none"):
        with pytest.raises(NotFound):
            store.pull(ref, access=INSECURE)
    assert left_behind(store) == []


def test_a_registry_that_only_speaks_http(store: ImageStore, hub: Registry) -> None:
    with pytest.raises(PyodcrError) as caught:
        store.pull(hub.name("x", "1"), access=Access(tls_verify=True))
    assert caught.value.code == "registry-untrusted"


TWO = [BASE, TOP]
BROKEN = {
    "diff ID": OciImage(TWO, top={"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * 2}}),
    "count": OciImage(TWO, top={"rootfs": {"type": "layers", "diff_ids": []}}),
    "path": OciImage(TWO, top={"rootfs": {"type": "layers", "diff_ids": ["../../etc", "x"]}}),
    "type": OciImage(TWO, top={"config": 7}),
    "no tar": OciImage([b"no tar at all" * 100]),
    "cut": OciImage([BASE[:2048]]),
    "artifact": OciImage(TWO, types={**ociimages.OCI, "config": "application/vnd.oci.empty.v1+json"}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_damage_is_noticed_and_leaves_nothing(store: ImageStore, tmp_path: Path, broken: OciImage) -> None:
    with pytest.raises(ImageInvalid):
        pull(store, tmp_path, broken, "x")
    assert store.list() == ()
    assert left_behind(store) == []
    assert not (store.root / "layers").exists()


def test_a_layer_that_would_leave_its_place_is_refused(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(ImageInvalid):
        pull(store, tmp_path, OciImage([layer(file("../../../escaped", b"x"))]), "x")
    hostile = OciImage([layer(symlink("out", "/"), file("out/escaped-by-link", b"x"))])
    pulled = pull(store, tmp_path, hostile, "y")
    assert not Path("/escaped-by-link").exists()
    assert (store.layer_dirs(pulled)[0] / "escaped-by-link").exists()


def test_blobs_that_are_not_what_the_manifest_says(store: ImageStore, image: OciImage, tmp_path: Path) -> None:
    for blob in (image.layer_blobs[0], image.config_blob):
        place = tmp_path / ociimages.digest(blob)[7:19]
        subprocess.run(
            ["skopeo", "copy", "-q", f"oci:{image.write_layout(tmp_path / f'l{len(blob)}', 'x')}:x", f"dir:{place}"],
            check=True,
        )
        stored = place / ociimages.digest(blob).removeprefix("sha256:")
        stored.write_bytes(bytes([*blob[:-4], *bytes(4)]))
        with pytest.raises(ImageInvalid):
            store.pull(f"dir:{place}")
    assert store.list() == ()


# Tarballs


@pytest.mark.parametrize("compress", [ociimages.plain, ociimages.gzipped, ociimages.zstd, lzma.compress, bz2.compress])
def test_importing_a_tarball(
    store: ImageStore, tmp_path: Path, compress: Callable[[bytes], bytes], mounted: Path
) -> None:
    tarball = tmp_path / "rootfs.tar.any"
    tarball.write_bytes(compress(BASE))
    steps: list[Step] = []
    made = store.import_rootfs(
        tarball,
        "tool",
        changes=['CMD ["/bin/su"]', "ENV A=b", "LABEL x=y"],
        message="made here",
        report=steps.append,
    )
    assert made.names == ("localhost/tool:latest",)
    assert made.layers == (ociimages.digest(BASE),)
    assert made.config.cmd == ("/bin/su",)
    assert made.config.labels == {"x": "y"}
    assert made.history[0].comment == "made here"
    assert made.id == ociimages.digest((store.root / "configs" / made.id).read_bytes()).removeprefix("sha256:")
    assert steps[-1].done_bytes == steps[-1].total_bytes == tarball.stat().st_size
    root = overlay.mount(mounted / "c", store.lower_dirs(made))
    assert (root / "usr/bin/su").exists()
    overlay.unmount(mounted / "c")


def test_importing_a_stream(store: ImageStore) -> None:
    made = store.import_rootfs(io.BytesIO(ociimages.gzipped(TOP)))
    assert made.names == ()
    assert made.layers == (ociimages.digest(TOP),)


@pytest.mark.parametrize("content", [b"", b"no tar", BASE[:1500], ociimages.gzipped(BASE)[:-5]])
def test_a_tarball_that_is_none(store: ImageStore, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(content)
    with pytest.raises(ImageInvalid, match=r"bad\.tar"):
        store.import_rootfs(path, "x")
    assert store.list() == ()
    assert left_behind(store) == []


def test_what_cannot_be_imported(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        store.import_rootfs(tmp_path, "x")
    with pytest.raises(NotFound):
        store.import_rootfs(tmp_path / "none.tar", "x")
    with pytest.raises(UsageError):
        store.import_rootfs(io.BytesIO(BASE), "Bad Name")
    with pytest.raises(UsageError):
        store.import_rootfs(io.BytesIO(BASE), "x", changes=["NOPE x"])


def test_the_root_of_every_image_looks_as_podmans(store: ImageStore, tmp_path: Path, mounted: Path) -> None:
    """CRIU restores nothing on a root whose mode is another than in the dump: archives would not travel."""
    base = layer(directory(".", mode=0o2711, uid=5, gid=6), file("a"))
    pulled = pull(store, tmp_path, OciImage([base, layer(file("b"))]), "x")
    info = overlay.mount(mounted / "c", store.lower_dirs(pulled)).stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (0, 0, 0o555)
    overlay.unmount(mounted / "c")
    made = store.import_rootfs(io.BytesIO(layer(file("c"))))
    info = overlay.mount(mounted / "d", store.lower_dirs(made)).stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (0, 0, 0o555)
    overlay.unmount(mounted / "d")


def test_a_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounts.mount("tmpfs", small, "tmpfs", options="size=4m")
    try:
        store = ImageStore(small / "images")
        kept = store.import_rootfs(io.BytesIO(TOP), "kept")
        big = layer(file("big", os.urandom(6 << 20)))
        with pytest.raises(SystemFailed) as imported:
            store.import_rootfs(io.BytesIO(big), "big")
        with pytest.raises(SystemFailed) as pulled:
            pull(store, tmp_path, OciImage([big]), "big")
        assert imported.value.code == pulled.value.code == "no-space"
        assert left_behind(store) == []
        assert store.list() == (kept,)
        assert store.remove("kept").deleted == kept.id
    finally:
        mounts.unmount(small)


def test_only_root_reaches_the_files(store: ImageStore) -> None:
    """A set-uid program of an image must not be run by a user of this host."""
    store.sweep()
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700


# Names, listing, removal


def test_tags_and_lookups(store: ImageStore, tmp_path: Path) -> None:
    one = pull(store, tmp_path, OciImage([BASE]), "one")
    two = pull(store, tmp_path, OciImage([TOP]), "two")
    assert store.tag("one", "quay.io/x/y").names == ("quay.io/x/y:latest", "localhost/one:latest")
    assert store.tag("two", "one").names == ("localhost/one:latest", "localhost/two:latest")
    assert store.lookup(one.id).names == ("quay.io/x/y:latest",)
    assert store.resolve("one")[1] == "localhost/one:latest"
    assert store.resolve(two.id) == (store.lookup("two"), "")
    with pytest.raises(UsageError, match="digest"):
        store.tag("one", "x@sha256:" + "0" * 64)
    assert [found.id for found in store.list()] in ([one.id, two.id], [two.id, one.id])


def test_removal_takes_only_what_nobody_else_needs(store: ImageStore, tmp_path: Path) -> None:
    pull(store, tmp_path, OciImage([BASE, TOP]), "one")
    two = pull(store, tmp_path, OciImage([BASE, MIDDLE]), "two")
    store.tag("one", "uno")

    assert store.remove("uno").untagged == ("localhost/uno:latest",)
    removed = store.remove("one")
    assert removed.untagged == ("localhost/one:latest",)
    assert removed.deleted
    assert layers_on_disk(store) == {ociimages.digest(BASE), ociimages.digest(MIDDLE)}
    assert os.listdir(store.root / "configs") == [two.id]
    with pytest.raises(NotFound):
        store.lookup("one")

    store.remove(two.id)
    assert layers_on_disk(store) == set()
    assert left_behind(store) == []


def test_removal_by_id_of_an_image_with_several_names(store: ImageStore, tmp_path: Path) -> None:
    image = pull(store, tmp_path, OciImage([BASE]), "one")
    store.tag("one", "two")
    with pytest.raises(Conflict, match="several names: localhost/two:latest, localhost/one:latest"):
        store.remove(image.id)
    assert store.remove(image.id[:12], force=True).deleted == image.id


def test_an_image_in_use_stays(store: ImageStore, tmp_path: Path) -> None:
    image = pull(store, tmp_path, OciImage([BASE]), "one")
    users = {image.id: ["c" * 64]}
    with pytest.raises(Conflict, match="in use by container ccc"):
        store.remove("one", in_use=users.__getitem__)
    store.tag("one", "two")
    assert store.remove("two", in_use=users.__getitem__).untagged == ("localhost/two:latest",)

    removed = store.remove("one", force=True, in_use=users.__getitem__)
    assert (removed.untagged, removed.deleted) == (("localhost/one:latest",), "")
    assert all(path.is_dir() for path in store.lower_dirs(store.lookup(image.id)))
    assert store.remove(image.id, in_use=lambda _: []).deleted == image.id


def test_an_image_is_not_removed_while_its_use_is_recorded(store: ImageStore, tmp_path: Path) -> None:
    image = pull(store, tmp_path, OciImage([BASE]), "one")
    code = (
        "import sys; from pathlib import Path; from pyodcr.lifecycle.storage.imagestore import ImageStore;"
        "ImageStore(Path(sys.argv[1])).remove('one', in_use=lambda _: ['used'] if Path(sys.argv[2]).exists() else [])"
    )
    recorded = tmp_path / "recorded"
    with store.using("one") as found:
        assert found == image
        remover = subprocess.Popen([sys.executable, "-c", code, store.root, recorded], stderr=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            remover.wait(1)
        recorded.touch()
    _, errors = remover.communicate(timeout=30)
    assert b"in use by container used" in errors
    assert store.lookup("one") == image


def test_inspect_and_list(store: ImageStore, image: OciImage, tmp_path: Path) -> None:
    pulled = pull(store, tmp_path, image, "x")
    shown = imageinspect.inspect(pulled, store.layer_dirs(pulled))
    assert shown["Id"] == image.id
    assert shown["RepoTags"] == ["localhost/x:latest"]
    assert shown["RepoDigests"] == [f"localhost/x@{ociimages.digest(image.manifest)}"]
    assert shown["Config"] == CONFIG
    assert shown["RootFS"]["Layers"] == list(pulled.layers)
    top = store.root / "layers" / pulled.layers[-1].removeprefix("sha256:") / "diff"
    assert shown["GraphDriver"]["Data"]["UpperDir"] == str(top)
    assert (top / "etc/motd").read_bytes() == b"hello\n"
    json.dumps(shown)
    line = imageinspect.summary(pulled, containers=2)
    assert (line["Containers"], line["Size"], line["Names"]) == (2, pulled.size_bytes, ["localhost/x:latest"])
    json.dumps(line)


# Two at once, and death


def run_pulls(store: ImageStore, sources: list[str]) -> list[subprocess.Popen[bytes]]:
    code = (
        "import sys; from pathlib import Path; from pyodcr.lifecycle.storage.imagestore import ImageStore;"
        "ImageStore(Path(sys.argv[1])).pull(sys.argv[2])"
    )
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, store.root, source], start_new_session=True, stderr=subprocess.PIPE
        )
        for source in sources
    ]


def test_several_processes_pull_at_once(store: ImageStore, tmp_path: Path) -> None:
    images = [OciImage([BASE, layer(file(f"f{number}", b"x"))]) for number in range(4)]
    layouts = [image.write_layout(tmp_path / f"l{n}", f"n{n}") for n, image in enumerate(images)]
    processes = run_pulls(store, [f"oci:{path}:n{n}" for n, path in enumerate(layouts)] * 2)
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert {found.id for found in store.list()} == {image.id for image in images}
    assert layers_on_disk(store) == {ociimages.digest(blob) for image in images for blob in image.layers}
    assert left_behind(store) == []


@pytest.mark.parametrize("moment", ["*", "*/image/*", "*/*/diff/etc", "*/*/diff/files/99", "*/*/diff/files/4999"])
def test_a_killed_pull_leaves_only_what_is_swept(store: ImageStore, tmp_path: Path, moment: str) -> None:
    """Killed as soon as ``moment`` matches something in the staging directory."""
    many = layer(*[file(f"files/{number}", bytes(100)) for number in range(5000)])
    big = OciImage([BASE, many, TOP])
    source = f"oci:{big.write_layout(tmp_path / 'big', 'big')}:big"
    kept = pull(store, tmp_path, OciImage([MIDDLE]), "kept")

    [process] = run_pulls(store, [source])
    while not any((store.root / "staging").glob(moment)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    assert left_behind(store)
    assert store.list() == (kept,)
    store.sweep()
    assert left_behind(store) == []
    assert layers_on_disk(store) == set(kept.layers)
    assert store.pull(source).id == big.id


def test_a_kill_between_layers_and_index_is_swept(
    store: ImageStore, image: OciImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Death at the last moment before the commit point: the layers are in, the index is not."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pyodcr.lifecycle.storage.catalog.save", die)
        with pytest.raises(KeyboardInterrupt):
            pull(store, tmp_path, image, "x")
    assert len(layers_on_disk(store)) == 3
    assert store.list() == ()
    store.sweep()
    assert layers_on_disk(store) == set()
    assert os.listdir(store.root / "configs") == []


def test_a_layer_removed_by_another_while_we_unpacked_is_unpacked_again(store: ImageStore, tmp_path: Path) -> None:
    pull(store, tmp_path, OciImage([BASE]), "first")
    source = OciImage([BASE, TOP]).write_layout(tmp_path / "second", "second")

    def remove_first(step: Step) -> None:
        if step.phase is Phase.UNPACK and len(store.list()) == 1:
            store.remove("first")

    pulled = store.pull(f"oci:{source}:second", report=remove_first)
    assert layers_on_disk(store) == set(pulled.layers)


def test_many_layers_and_a_repeated_one(store: ImageStore, tmp_path: Path, mounted: Path) -> None:
    """More layers than a page of absolute paths holds; one of them twice, which the kernel would refuse."""
    blobs = [layer(file(f"f{number}", b"x"), file("last", str(number).encode())) for number in range(60)]
    image = OciImage([*blobs, blobs[3]], compress=ociimages.plain)
    pulled = pull(store, tmp_path, image, "many")
    lowers = store.lower_dirs(pulled)
    assert len(lowers) == 60
    assert len(":".join(str(path) for path in store.layer_dirs(pulled))) > 4096
    root = overlay.mount(mounted / "c", lowers)
    assert len(os.listdir(root)) == 61
    assert (root / "last").read_bytes() == b"3"
    overlay.unmount(mounted / "c")


def test_a_missing_skopeo(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyodcr.process.which", lambda name: None)
    with pytest.raises(PyodcrError, match="skopeo is not installed") as caught:
        store.pull("docker.io/library/x")
    assert caught.value.code == "tool-not-found"
    assert caught.value.hint


def test_gnu_tar_reads_what_was_imported(store: ImageStore, tmp_path: Path) -> None:
    """An image made of a real system directory comes back file for file."""
    tarball = tmp_path / "etc.tar"
    subprocess.run(["tar", "-C", "/", "--xattrs", "-cf", str(tarball), "etc"], check=True)
    made = store.import_rootfs(tarball, "etc")
    with tarfile.open(tarball) as archive:
        names = {member.name for member in archive.getmembers()}
    diff = store.layer_dirs(made)[0]
    found = {str(path.relative_to(diff)) for path in diff.rglob("*")}
    assert found == names


@pytest.fixture
def podman(tmp_path: Path) -> list[str]:
    """Podman with a store of its own."""
    if shutil.which("podman") is None:
        pytest.skip("podman, to compare with, is only in the test host")
    places = ["--root", str(tmp_path / "podman"), "--runroot", str(tmp_path / "podman-run"), "--storage-driver", "vfs"]
    return ["podman", *places]


def shown_by(podman: list[str], image: str) -> dict[str, Any]:
    """What `podman image inspect` shows, but for what is a store's own."""
    done = subprocess.run([*podman, "image", "inspect", image], check=True, capture_output=True)
    [shown] = json.loads(done.stdout)
    return comparable(shown)


def comparable(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Without places and sizes (Podman adds the metadata's); it has nanoseconds, we microseconds."""
    kept = {key: value for key, value in shown.items() if key not in ("GraphDriver", "Size", "VirtualSize")}
    text = json.dumps(kept)
    return json.loads(re.sub(r"(T\d\d:\d\d:\d\d)(\.\d+)?Z", r"\1Z", text))  # type: ignore[no-any-return]


def test_podman_pulls_the_same(store: ImageStore, podman: list[str], tmp_path: Path) -> None:
    image = OciImage([BASE, MIDDLE, TOP], CONFIG, annotations={"a": "b"})
    health = OciImage([BASE, TOP], {"Healthcheck": {"Test": ["CMD", "true"], "Interval": 5}}, types=DOCKER)
    sources = [
        f"oci:{image.write_layout(tmp_path / 'layout', 'x')}:x",
        f"docker-archive:{write_docker_archive(tmp_path / 'a.tar', [(health, ['redis:7', 'quay.io/x/redis:7'])])}",
    ]
    for source in sources:
        pulled = store.pull(source)
        subprocess.run([*podman, "pull", "-q", source], check=True)
        assert shown_by(podman, pulled.id) == comparable(imageinspect.inspect(pulled, store.layer_dirs(pulled)))


def test_podman_imports_the_same(store: ImageStore, podman: list[str], tmp_path: Path) -> None:
    """Down to the ID: an archive of a container names its image by that."""
    tarball = tmp_path / "rootfs.tar.gz"
    tarball.write_bytes(ociimages.gzipped(BASE))
    changes = ["CMD a && b <c>", 'ENTRYPOINT ["/é"]', "ENV A=b", "EXPOSE 80", "EXPOSE 53/udp", "LABEL z=1", "LABEL a=2"]
    changes += ["USER me", "VOLUME /v /a", "WORKDIR /w", "STOPSIGNAL INT"]
    made = store.import_rootfs(tarball, "x", changes=changes, message="hello")
    options = [word for change in changes for word in ("-c", change)]
    environment = {**os.environ, "TZ": "UTC"}  # Podman writes the file's time in the local zone
    command = [*podman, "import", "-q", "-m", "hello", *options, str(tarball), "x"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert made.id == done.stdout.strip().removeprefix("sha256:")
