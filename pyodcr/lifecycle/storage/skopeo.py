"""skopeo(1): the one who speaks to registries and knows every form an image is kept in.

Images come as a ``dir:`` directory: manifest and blobs as they are, so digests and the image ID stay what
they were (a copy into an OCI layout would rewrite Docker's configurations, and with them the IDs). The
host's own rules hold: policy.json for signatures, registries.conf for mirrors, auth.json for credentials.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyodcr import process
from pyodcr.errors import CommandFailed, ImageInvalid, NotFound, PyodcrError, SystemFailed, Unsupported
from pyodcr.lifecycle.storage import refs
from pyodcr.lifecycle.storage.images import host_architecture
from pyodcr.lifecycle.storage.refs import Source, Transport
from pyodcr.linux import files

POLL_S = 0.2
BLOB_RETRIES = 2  # a long download may break; that a registry is away is said at once, by the manifest's request
INSTALL_HINT = "install skopeo: it fetches images; `image import` of a rootfs tarball works without it"
# What a pull needs of our environment beyond what every tool gets: the way to the registry.
_PASSED_ENV = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "SSL_CERT_DIR"),
    *("CONTAINERS_REGISTRIES_CONF", "CONTAINERS_STORAGE_CONF"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a registry is spoken to. ``creds`` is USER:PASSWORD; ``tls_verify`` None leaves it to registries.conf."""

    tls_verify: bool | None = None
    creds: str = ""
    authfile: Path | None = None


class Skopeo:
    """``workspace`` is a private directory for its temporary files, swept with the rest if we die."""

    def __init__(self, workspace: Path, access: Access | None = None) -> None:
        self._workspace = workspace
        self._access = access or Access()

    def copy(self, source: Source, target: Path, watch: Callable[[int], None]) -> None:
        """Fetch one image, for this platform, into the new directory ``target``.

        ``watch`` is told the bytes that have arrived, a few times a second.
        """
        with self._options(source, prefix="src-") as options:
            argv = [*self._command("copy"), "--quiet", "--retry-times", str(BLOB_RETRIES)]
            argv += [*options, str(source), f"dir:{target}"]
            complaints = self._workspace / "skopeo.log"
            files.write(complaints, b"")
            with complaints.open("wb") as stderr, process.spawn(argv, env=_environment(), stderr=stderr) as child:
                while _runs(child):
                    watch(_size(target))
            if child.returncode != 0:
                result = process.Result(child.returncode, "", complaints.read_text(errors="replace"))
                raise failure(source, result)
        watch(_size(target))

    def manifest(self, source: Source) -> bytes:
        """The manifest, or list of manifests, that a source has now, as it is."""
        with self._options(source) as options:
            argv = [*self._command("inspect"), "--raw", *options, str(source)]
            result = process.run(argv, env=_environment(), check=False)
            if result.status != 0:
                raise failure(source, result)
        return result.stdout.encode()

    def _command(self, verb: str) -> list[str | Path]:
        program = process.require("skopeo", hint=INSTALL_HINT)
        return [program, "--tmpdir", self._workspace, verb]

    @contextmanager
    def _options(self, source: Source, prefix: str = "") -> Iterator[Sequence[str]]:
        if source.transport is not Transport.DOCKER:
            yield []
            return
        options = []
        if self._access.tls_verify is not None:
            options.append(f"--{prefix}tls-verify={str(self._access.tls_verify).lower()}")
        if self._access.authfile is not None:
            options += [f"--{prefix}authfile", str(self._access.authfile)]
        if self._access.creds:
            # Through a file: a command line can be read by every user of the host.
            secret = self._workspace / "auth.json"
            files.write(secret, _auth_file(refs.parse(source.rest).domain, self._access.creds))
            options += [f"--{prefix}authfile", str(secret)]
        try:
            yield options
        finally:
            if self._access.creds:
                files.remove(secret)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ENV if name in os.environ}


def _auth_file(registry: str, creds: str) -> str:
    import base64

    secret = base64.b64encode((creds if ":" in creds else f"{creds}:").encode()).decode()
    return json.dumps({"auths": {registry: {"auth": secret}}})


def _runs(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(timeout=POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _size(directory: Path) -> int:
    """Bytes in a flat directory that another process fills."""
    total = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                total += entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # not yet made, or a temporary blob that has got its name just now
        pass
    return total


@dataclass(frozen=True, slots=True)
class _Cause:
    """A kind of failure: the words it is known by (a regular expression), and what to say of it."""

    words: str
    error: type[PyodcrError]
    code: str | None
    message: str
    hint: str | None = None


# Tried in this order: the words of containers/image, Go's network library, and distribution-spec's error codes.
_CAUSES = (
    _Cause(
        r"no space left on device|disk quota exceeded",
        SystemFailed,
        "no-space",
        "cannot pull {name}: no space left on device",
        "free some space, or choose another --root",
    ),
    _Cause(
        r"policy\.json: no such file",
        Unsupported,
        None,
        "cannot pull {name}: /etc/containers/policy.json is missing",
        "install containers-common (golang-github-containers-common on Debian): it says whom to trust",
    ),
    _Cause(
        r"[Ss]ource image rejected",
        CommandFailed,
        "policy",
        "cannot pull {name}: this host's policy rejects it: {cause}",
        "see /etc/containers/policy.json",
    ),
    _Cause(
        r"no image found in (manifest list|image index)",
        Unsupported,
        "wrong-architecture",
        "{name} has no image for this host (linux/{architecture})",
    ),
    _Cause(
        r"x509:|server gave HTTP response to HTTPS client|tls: ",
        CommandFailed,
        "registry-untrusted",
        "cannot pull {name}: its registry cannot be trusted: {cause}",
        "install its certificate under /etc/containers/certs.d, or use --tls-verify=false",
    ),
    _Cause(
        r"connection refused|no such host|i/o timeout|timeout awaiting|network is unreachable|no route to host"
        r"|handshake timeout|connection reset|server misbehaving|deadline exceeded"
        r"|Temporary failure in name resolution|5\d\d (Internal|Bad|Service|Gateway)",
        CommandFailed,
        "registry-unreachable",
        "cannot pull {name}: the registry cannot be reached: {cause}",
        "check the registry's name, the network, and HTTPS_PROXY",
    ),
    _Cause(
        r"unauthorized|authentication required|denied|invalid username/password|40[13] ",
        CommandFailed,
        "registry-denied",
        "cannot pull {name}: the registry denies it: {cause}",
        "the repository may not exist, or needs --creds or --authfile (`skopeo login` makes one)",
    ),
    _Cause(
        r"manifest unknown|name unknown|repository name not known|does not resolve to an image|no such file"
        r"|no descriptor found|[Tt]ag .* not found|404 ",
        NotFound,
        None,
        "{name}: there is no such image: {cause}",
    ),
    _Cause(
        r"unexpected EOF|did(n't| not) match|does not match|invalid (character|tar header)",
        ImageInvalid,
        None,
        "{name} is damaged, or not an image: {cause}",
    ),
)


def failure(source: Source, result: process.Result) -> PyodcrError:
    """Why skopeo could not: its log, sorted into the errors a user can do something about."""
    said = _fatal_message(result.stderr) or f"exit status {result.status}"
    name = source.rest if source.transport is Transport.DOCKER else str(source)
    known = next((cause for cause in _CAUSES if re.search(cause.words, said)), None)
    kind = known.error if known else CommandFailed
    text = (known.message if known else "cannot pull {name}: {said}").format(
        name=name, said=said, cause=said.rpartition(": ")[2], architecture=host_architecture()
    )
    code, hint = (known.code, known.hint) if known else (None, None)
    if issubclass(kind, CommandFailed):
        return kind(text, code=code, hint=hint, status=result.status, stderr=result.stderr)
    return kind(text, code=code, hint=hint, image=name)


def _fatal_message(log: str) -> str:
    """The ``msg`` of the last line of a logrus text log, or that line as it is."""
    lines = [line for line in log.splitlines() if line.strip()]
    if not lines:
        return ""
    found = re.search(r'msg=("(?:[^"\\]|\\.)*")', lines[-1])
    if found is None:
        return lines[-1].strip()
    try:
        text = str(json.loads(found[1]))
    except ValueError:  # Go quotes what JSON does not know (\x1b)
        text = found[1][1:-1]
    return text.partition("\n")[0]
