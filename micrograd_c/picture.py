# SPDX-License-Identifier: MIT
"""graphviz's Digraph, which also draws itself where Graphviz's program `dot` is missing."""

import contextlib
import functools
import inspect
import os
import shutil
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

INSTALLERS = {
    "apt-get": "apt-get install graphviz",
    "dnf": "dnf install graphviz",
    "pacman": "pacman -S graphviz",
    "zypper": "zypper install graphviz",
    "apk": "apk add graphviz",
    "brew": "brew install graphviz",
    "winget": "winget install graphviz",
}


def install_command() -> str:
    """What installs `dot` here."""
    found = [line for program, line in INSTALLERS.items() if shutil.which(program)]
    return "conda install graphviz" if "CONDA_PREFIX" in os.environ or not found else found[0]


@functools.cache
def picture_class() -> Any:
    """The class; graphviz has to be there."""
    import graphviz

    class Picture(graphviz.Digraph):  # type: ignore[misc]
        """A `graphviz.Digraph` that has a picture of its own to fall back on, as SVG."""

        _fallback: tuple[str, Callable[[], str]] | None = None

        def draw_without_dot(self, draw: Callable[[], str]) -> None:
            """Gives it a picture of its graph as it is now; a change of the graph outdates it."""
            self._fallback = self.source, draw

        def _draw(self, format: str | None) -> str:
            format = format or self.format
            if self._fallback and format == "svg" and self._fallback[0] == self.source:
                return self._fallback[1]()
            what = "a graph that was changed" if self._fallback else "a graph as large as this"
            what = what if format == "svg" else f"a graph as {format!r}"
            missing = graphviz.ExecutableNotFound(["dot"])
            missing.args = (
                f"drawing {what} needs Graphviz's program dot, which is not installed: "
                f"{install_command()}",
            )
            raise missing from None

        def pipe(self, format: str | None = None, *args: Any, **options: Any) -> Any:
            """The picture as bytes; as text where `encoding` is given. Options are graphviz's."""
            with contextlib.suppress(graphviz.ExecutableNotFound):
                return super().pipe(format, *args, **options)
            text = self._draw(format)
            return text if options.get("encoding") else text.encode()

        def render(self, *args: Any, **options: Any) -> str:
            """Writes source and picture; returns the picture's path. Options are graphviz's."""
            with contextlib.suppress(graphviz.ExecutableNotFound):
                return super().render(*args, **options)  # type: ignore[no-any-return]
            given = inspect.signature(super().render).bind(*args, **options).arguments
            format, outfile = given.get("format"), given.get("outfile")
            if outfile and not format:
                format = Path(outfile).suffix.removeprefix(".")
            text = self._draw(format)
            path = Path(outfile or f"{self.filepath}.svg")
            path.write_text(text, encoding="utf-8")
            if given.get("cleanup"):
                os.remove(self.filepath)
            if given.get("view") or given.get("quiet_view"):
                webbrowser.open(path.resolve().as_uri())
            return str(path)

        def copy(self) -> Any:
            """A copy that can be changed apart from this one."""
            copied = super().copy()
            copied._fallback = self._fallback
            return copied

        def _repr_mimebundle_(self, *args: Any, **options: Any) -> dict[str, Any]:
            """For notebooks: the picture, or a line that says what it needs."""
            try:
                return super()._repr_mimebundle_(*args, **options)  # type: ignore[no-any-return]
            except graphviz.ExecutableNotFound as missing:
                return {"text/plain": str(missing)}

    return Picture
