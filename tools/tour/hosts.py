"""The two hosts of the tour, and pyodcr on each of them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.tour.screen import Screen
from tools.tour.trouble import TourFailed


@dataclass(frozen=True, slots=True)
class Machine:
    """A host by its name and address; ``enter`` makes a command one that runs there."""

    name: str
    address: str
    screen: Screen
    enter: Callable[[Sequence[str]], list[str]] = list
    environment: Mapping[str, str] = field(default_factory=dict)

    def pyodcr(self, *words: str) -> tuple[str, float]:
        """Show the command, run it, and return what it printed and how many seconds it took."""
        self.screen.command(self.name, ["pyodcr", *words])
        began = time.monotonic()
        output = self._run("pyodcr", *words)
        return output, time.monotonic() - began

    def statistics(self, *words: str) -> tuple[Mapping[str, Any], float]:
        """The same for a command with ``--print-stats``: the one container's statistics."""
        output, seconds = self.pyodcr(*words)
        (one,) = json.loads(output)["container_statistics"]
        return one, seconds

    def quietly(self, *words: str) -> str:
        """A question on the side, not worth a line."""
        return self._run("pyodcr", *words)

    def clean(self, container: str, image: str) -> None:
        """Whatever happened, neither stays."""
        for words in (("rm", "--force", "--time", "0", container), ("image", "rm", "--force", image)):
            subprocess.run(self.enter(["pyodcr", *words]), capture_output=True, check=False)

    def _run(self, *argv: str) -> str:
        done = subprocess.run(
            self.enter(argv), env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip() or "it said nothing"
            raise TourFailed(f"on {self.name}: {shlex.join(argv)} ended with status {done.returncode}\n{said}")
        return done.stdout.strip()
