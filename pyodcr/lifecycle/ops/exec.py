"""exec: a command inside a running container, monitored by a conmon of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyodcr import jsonio
from pyodcr.errors import RuntimeFailed
from pyodcr.lifecycle import refresh
from pyodcr.lifecycle.attach import Attachment, Streams
from pyodcr.lifecycle.models import Container, ExecSession
from pyodcr.lifecycle.spec import observe
from pyodcr.lifecycle.spec.users import lookup
from pyodcr.lifecycle.transitions import Op, require
from pyodcr.linux import boot, files, processes

if TYPE_CHECKING:
    from pyodcr.lifecycle.conmon import ExecMonitor
    from pyodcr.lifecycle.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOptions:
    """``podman exec``'s flags; ``size`` of the terminal in rows and columns, where there is one."""

    command: tuple[str, ...]
    tty: bool = False
    interactive: bool = False
    privileged: bool = False
    env: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    size: tuple[int, int] = (0, 0)


def exec_(
    ctx: Context,
    ref: str,
    options: ExecOptions,
    streams: Streams,
    attached: Callable[[Path], AbstractContextManager[object]] = nullcontext,
) -> int:
    """Run a command and follow it; its exit status, or 0 when the user detached.

    ``attached`` is entered with the session's directory (its control FIFO is there) while the streams are copied.
    """
    session, directory, monitor = _prepare(ctx, ref, options)
    with monitor, closing(_attachment(ctx, session, directory)) as attachment:
        _go(ctx, session, monitor)
        with attached(directory):
            detached = attachment.pump(streams)
        if detached:
            return 0  # conmon's exit command cleans up
        status = monitor.status()
    forget(ctx, session.container, session.id)
    return status


def exec_detached(ctx: Context, ref: str, options: ExecOptions) -> str:
    """Run a command and leave it alone; the session's ID as soon as it runs."""
    session, _, monitor = _prepare(ctx, ref, options)
    with monitor:
        _go(ctx, session, monitor)
    return session.id


def _prepare(ctx: Context, ref: str, options: ExecOptions) -> tuple[ExecSession, Path, ExecMonitor]:
    with ctx.locked(ref) as container:
        require(Op.EXEC, container)
        _sweep(ctx, container)
        process = jsonio.dumps(process_spec(ctx, container, options))
        session = ExecSession(
            id=secrets.token_hex(32),
            container=container.id,
            command=options.command,
            owner_pid=os.getpid(),
            owner_started=boot.own_start_time(),
        )
        ctx.db.put_exec_session(session)
        directory = ctx.place(container).exec_session(session.id)
        with _forgetting(ctx, session):
            files.write(files.make_directory(directory) / "process.json", process)
    with _forgetting(ctx, session):  # without the lock: a container may take its time to run a command
        monitor = ctx.conmon.exec(
            container,
            ctx.runtime(container),
            session,
            directory / "process.json",
            tty=options.tty,
            stdin=options.interactive,
        )
    return session, directory, monitor


def _attachment(ctx: Context, session: ExecSession, directory: Path) -> Attachment:
    with _forgetting(ctx, session):
        return Attachment(directory)


def _go(ctx: Context, session: ExecSession, monitor: ExecMonitor) -> None:
    with _forgetting(ctx, session):
        pid = monitor.go()
    ctx.db.put_exec_session(replace(session, pid=pid, pid_started=boot.start_time_to_record(pid)))


@contextmanager
def _forgetting(ctx: Context, session: ExecSession) -> Iterator[None]:
    """Until the command runs a failure leaves nothing of it; from then on conmon's exit command sees to that."""
    try:
        yield
    except BaseException as error:
        forget(ctx, session.container, session.id)
        if isinstance(error, RuntimeFailed):  # whose words blame the command where the container ended meanwhile
            container = ctx.db.get(session.container)
            require(Op.EXEC, refresh.shown(container, ctx.place(container)))
        raise


def forget(ctx: Context, container_id: str, session_id: str) -> None:
    """Remove what a session left; also called by conmon's exit command when it ends."""
    files.remove_tree(ctx.paths.container(container_id).exec_session(session_id))
    ctx.db.remove_exec_session(session_id)


def _sweep(ctx: Context, container: Container) -> None:
    """Forget the sessions of killed commands, unless a monitor came to life and will see to it."""
    for session in ctx.db.exec_sessions(container.id):
        if not boot.is_alive(session.owner_pid, session.owner_started) and not processes.with_argument(session.id):
            forget(ctx, container.id, session.id)


def process_spec(ctx: Context, container: Container, options: ExecOptions) -> Mapping[str, Any]:
    """The OCI process: the container's own, with what was asked for in its place."""
    spec = jsonio.loads(files.read(ctx.place(container).spec) or "{}", "config.json")
    process = dict(spec["process"])
    process |= {"args": list(options.command), "terminal": options.tty}
    environment = dict(entry.partition("=")[::2] for entry in process.get("env", ()))
    if options.tty:
        environment.setdefault("TERM", "xterm")
        rows, columns = options.size
        process["consoleSize"] = {"height": rows, "width": columns}
    if options.user:
        user = lookup(Path(container.state.mountpoint), options.user, container.config.groups)
        process["user"] = {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.additional_gids)}
        environment["HOME"] = user.home
        process["capabilities"] = _capabilities(process, is_root=user.uid == 0)
    environment |= dict(entry.partition("=")[::2] for entry in options.env)
    process["env"] = [f"{name}={value}" for name, value in environment.items()]
    if options.workdir:
        process["cwd"] = options.workdir
    if options.privileged:
        names = list(observe.kernel().capabilities)
        process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    return process


def _capabilities(process: Mapping[str, Any], *, is_root: bool) -> Mapping[str, Any]:
    """Those of the container; another user than root holds none of them until a setuid program gives them."""
    bounding = process.get("capabilities", {}).get("bounding", [])
    held = bounding if is_root else []
    return {"bounding": bounding, "effective": held, "permitted": held, "inheritable": [], "ambient": []}
