"""The container's environment variables, by Podman's precedence: ours, the image's, the host's, the user's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyodcr.errors import UsageError
from pyodcr.lifecycle.options import CreateOptions
from pyodcr.lifecycle.spec.facts import ImageDefaults

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# systemd takes "oci" for "some container, look closer": it then finds /run/.containerenv.
# Podman's own word would make a lie of it, and a word of ours is unknown to every image.
CONTAINER = "oci"


def build(options: CreateOptions, image: ImageDefaults | None, hostname: str) -> list[str]:
    """``NAME=VALUE`` words; HOME follows when the user is known (:mod:`.finalize`)."""
    env = {"PATH": PATH, "container": CONTAINER}
    env |= _parse(image.env if image else (), {})
    if options.tty:
        env.setdefault("TERM", "xterm")
    for name in options.unset_env:
        env.pop(name, None)
    if options.env_host:
        env |= options.environ
    env |= _parse(options.env, options.environ)
    env.setdefault("HOSTNAME", hostname)
    return [f"{name}={value}" for name, value in env.items()]


def _parse(words: Iterable[str], ours: Mapping[str, str]) -> dict[str, str]:
    """``NAME=VALUE``; ``NAME`` takes ours if we have it, ``NAME*`` all of ours that begin so."""
    env: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.lstrip(" \t")
        if not name:
            raise UsageError(f'invalid variable: "{word}"', hint="NAME=VALUE, or NAME")
        if equals:
            env[name] = value
        elif name.endswith("*"):
            env |= {key: ours[key] for key in ours if key.startswith(name[:-1])}
        elif name in ours:
            env[name] = ours[name]
    return env
