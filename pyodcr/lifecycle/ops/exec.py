"""exec: a command inside a running container, monitored by a conmon of its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyodcr import jsonio
from pyodcr.lifecycle.attach import Attachment, Streams
from pyodcr.lifecycle.models import Container, ExecSession
from pyodcr.lifecycle.spec import observe
from pyodcr.lifecycle.spec.users import lookup
from pyodcr.lifecycle.transitions import Op, require
from pyodcr.linux import boot, files

if TYPE_CHECKING:
    from pyodcr.lifecycle.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOptions:
    """``podman exec``'s flags."""

    command: tuple[str, ...]
    detach: bool = False
    tty: bool = False
    interactive: bool = False
    privileged: bool = False
    env: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""


def exec_(ctx: Context, ref: str, options: ExecOptions, streams: Streams) -> int:
    """Run it; the exit status, or 0 as soon as it runs when detached."""
    with ctx.locked(ref) as container:
        require(Op.EXEC, container)
        session = ExecSession(id=secrets.token_hex(32), container=container.id, command=options.command)
        ctx.db.put_exec_session(session)
    directory = ctx.place(container).exec_session(session.id)
    try:
        spec = files.make_directory(directory) / "process.json"
        files.write(spec, jsonio.dumps(process_spec(ctx, container, options)))
        monitor = ctx.conmon.exec(
            container, ctx.runtime(container), session, spec, tty=options.tty, stdin=options.interactive
        )
        try:
            return _follow(ctx, session, directory, options, streams, monitor)
        finally:
            monitor.close()
    except BaseException:
        forget(ctx, container.id, session.id)
        raise


def _follow(
    ctx: Context, session: ExecSession, directory: Path, options: ExecOptions, streams: Streams, monitor: Any
) -> int:
    attachment = None if options.detach else Attachment(directory)
    try:
        pid = monitor.go()
        ctx.db.put_exec_session(replace(session, pid=pid, pid_started=boot.start_time(pid)))
        if attachment is None:
            return 0
        if attachment.pump(streams):
            return 0  # detached by its keys: conmon's exit command cleans up
    finally:
        if attachment is not None:
            attachment.close()
    status = int(monitor.status())
    forget(ctx, session.container, session.id)
    return status


def forget(ctx: Context, container_id: str, session_id: str) -> None:
    """Remove what a session left; also called by conmon's exit command when it ends."""
    files.remove_tree(ctx.paths.container(container_id).exec_session(session_id))
    ctx.db.remove_exec_session(session_id)


def process_spec(ctx: Context, container: Container, options: ExecOptions) -> Mapping[str, Any]:
    """The OCI process: the container's own, with what was asked for in its place."""
    spec = jsonio.loads(files.read(ctx.place(container).spec) or "{}", "config.json")
    process = dict(spec["process"])
    process |= {"args": list(options.command), "terminal": options.tty}
    environment = dict(entry.partition("=")[::2] for entry in process.get("env", ()))
    if options.tty:
        environment.setdefault("TERM", "xterm")
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
