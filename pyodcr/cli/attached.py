"""Running a container with the user attached to it: `run`, `start --attach`, `attach`."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from pyodcr.cli import terminal
from pyodcr.engine import Engine
from pyodcr.lifecycle.attach import Attachment, resize
from pyodcr.lifecycle.models import Container

DETACHED = 0


def follow(
    engine: Engine,
    container: Container,
    attachment: Attachment,
    *,
    stdin: bool,
    detach_keys: str | None,
    sig_proxy: bool,
) -> int:
    """Copy the streams until the container ends; its exit code, or 0 when the user detached."""
    tty = container.config.tty
    with ExitStack() as stack:
        stack.callback(attachment.close)
        stack.enter_context(terminal.sized(engine.bundle(container), wanted=tty))
        stack.enter_context(
            terminal.signals_passed_on(lambda number: engine.kill(container.id, number), wanted=sig_proxy and not tty)
        )
        stack.enter_context(terminal.raw(wanted=tty and stdin))
        if attachment.pump(terminal.streams(stdin=stdin, tty=tty, detach_keys=detach_keys)):
            return DETACHED
        return engine.wait(container.id)


def started(engine: Engine, ref: str) -> tuple[Container, Attachment]:
    """Start a container, attached before its first byte of output; one that runs already is attached to as it is."""
    attachments: list[Attachment] = []

    def attach(made: Container) -> None:
        bundle = engine.bundle(made)
        attachments.append(Attachment(bundle))
        if made.config.tty and sys.stdin.isatty():
            resize(bundle, *terminal.size())  # its first process may look before we follow it

    try:
        container = engine.start(ref, before=attach)
        if not attachments:
            attach(container)
    except BaseException:
        for attachment in attachments:
            attachment.close()
        raise
    return container, attachments[0]
