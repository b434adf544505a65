"""Make the tree: debootstrap, then packages in the order the recipe gives, then a check that CRIU works in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import apt, inside, recipe
from .cache import Cache, locked, prune
from .errors import HostError
from .steps import failure, step

_TRIES = 3
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")


def tree_path(cache: Cache) -> Path:
    """Where the tree of the present recipe is, or will be."""
    return cache.root / f"tree-{recipe.key()}"


def ensure_tree(cache: Cache) -> Path:
    """The tree of the present recipe, built first if it is not in the cache. Raises HostError."""
    tree = tree_path(cache)
    if tree.is_dir():
        return tree
    if os.geteuid() != 0:
        raise HostError("building the test host needs root")
    with locked(cache.root / "lock", exclusive=True):
        if not tree.is_dir():
            _build(cache, tree)
            prune(cache, "tree-", keep=tree.name)
    return tree


def _build(cache: Cache, tree: Path) -> None:
    for abandoned in cache.root.glob("building-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    half = Path(tempfile.mkdtemp(prefix="building-", dir=cache.root))
    half.chmod(0o755)
    cache.log.write_text("")
    _install_on_machine(cache, {"debootstrap": "debootstrap"})
    builder = _Builder(cache, half, apt.mirror(), _environment())
    builder.debootstrap()
    builder.configure()
    builder.install()
    builder.check()
    half.rename(tree)


def _environment() -> dict[str, str]:
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        **apt.proxy_environment(),
    }


def _install_on_machine(cache: Cache, programs: Mapping[str, str]) -> None:
    """Install on the machine the packages (value) of the programs (key) that it does not have."""
    missing = [package for program, package in programs.items() if shutil.which(program) is None]
    if not missing:
        return
    with step(f"installing {', '.join(missing)} on this machine"):
        offset = cache.log.stat().st_size
        argv = ["sh", "-c", f"apt-get update -q; {' '.join(_INSTALL)} {' '.join(missing)}"]
        if inside.run(argv, env=_environment(), log=cache.log) != 0:
            raise failure(f"installing {', '.join(missing)}", cache.log, offset=offset)


@dataclass(frozen=True, slots=True)
class _Builder:
    cache: Cache
    tree: Path
    mirror: str
    env: Mapping[str, str]

    def debootstrap(self) -> None:
        with step(f"debootstrap of {recipe.SUITE} from {self.mirror}"):
            argv = ["debootstrap", "--variant=minbase", f"--cache-dir={self.cache.directory('debs')}"]
            argv += [recipe.SUITE, str(self.tree), self.mirror]
            for attempt in range(1, _TRIES + 1):
                offset = self.cache.log.stat().st_size
                if inside.run(argv, env=self.env, log=self.cache.log) == 0:
                    return
                shutil.rmtree(self.tree, ignore_errors=True)  # debootstrap does not resume; its cache does
                if attempt == _TRIES:
                    raise failure("debootstrap", self.cache.log, offset=offset)

    def configure(self) -> None:
        """Write what the recipe and the machine say: sources, pins, proxies, certificates."""
        for name, text in recipe.FILES.items():
            self._write(name, text)
        (self.tree / "usr/sbin/policy-rc.d").chmod(0o755)
        for name in recipe.MOUNT_POINTS:
            (self.tree / name).mkdir(parents=True, exist_ok=True)
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        self._write(
            "etc/apt/sources.list.d/debian.sources",
            f"Types: deb\nURIs: {self.mirror}\nSuites: {recipe.SUITE} {recipe.NEWER_SUITE}\nComponents: main\n"
            f"Signed-By: {keyring}\n",
        )
        (self.tree / "etc/apt/sources.list").unlink(missing_ok=True)
        self._write("etc/apt/apt.conf.d/90machine", apt.carried_settings())
        self._trust_machine_certificates()

    def install(self) -> None:
        self._apt("reading package lists", ["apt-get", "update", "-q"])
        self._apt(f"packages of {recipe.SUITE}", [*_INSTALL, *recipe.BASE_PACKAGES])
        for group in recipe.NEWER_PACKAGES:
            pinned = [f"{package}/{recipe.NEWER_SUITE}" for package in group]
            self._apt(f"packages of {recipe.NEWER_SUITE}: {' '.join(group)}", [*_INSTALL, *pinned])
        self._trust_machine_certificates()  # again: the ca-certificates package has just written its own

    def check(self) -> None:
        """The tree must hold a CRIU for kernels of today and runtimes that can drive it."""
        with step("checking the tree"):
            for argv, needed in (
                (["criu", "--version"], "Version: 4.2"),
                (["crun", "--version"], "+CRIU"),
                (["runc", "checkpoint", "--help"], "--image-path"),
                (["conmon", "--version"], "conmon version"),
                (["podman", "--version"], "podman version"),
                (["/usr/lib/podman/netavark", "--version"], "netavark"),
            ):
                offset = self.cache.log.stat().st_size
                status = inside.run(argv, env=self.env, log=self.cache.log, tree=self.tree)
                said = self.cache.log.read_bytes()[offset:].decode(errors="replace").strip()
                if status != 0 or needed not in said:
                    raise HostError(f"{argv[0]} in the new tree does not say {needed!r}:\n  {said}")

    def _apt(self, what: str, argv: Sequence[str]) -> None:
        binds = {
            Path("/var/cache/apt/archives"): self.cache.directory("archives"),
            Path("/var/lib/apt/lists"): self.cache.directory("lists"),
            Path("/etc/resolv.conf"): Path("/etc/resolv.conf").resolve(),
        }
        with step(what):
            for attempt in range(1, _TRIES + 1):
                offset = self.cache.log.stat().st_size
                if inside.run(argv, env=self.env, log=self.cache.log, tree=self.tree, binds=binds) == 0:
                    return
                if attempt == _TRIES:
                    raise failure(what, self.cache.log, offset=offset)

    def _write(self, name: str, text: str) -> None:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _trust_machine_certificates(self) -> None:
        if _CA_BUNDLE.is_file():
            target = self.tree / _CA_BUNDLE.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_CA_BUNDLE, target)
