"""`pyodcr container X`: the same commands as `pyodcr X`."""

from __future__ import annotations

from pyodcr.cli.app import ContainerGroup
from pyodcr.cli.session import new_app

app = new_app(cls=ContainerGroup)


@app.callback()
def container() -> None:
    """The same commands, as `pyodcr container X`."""
