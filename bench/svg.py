"""A drawing in SVG, readable on light and on dark pages: the few shapes that the plot needs."""

from __future__ import annotations

from xml.sax.saxutils import escape

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.head { font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.end { text-anchor: end }
.middle { text-anchor: middle }
.ours { fill: #1a7f64 }
.theirs { fill: #b0b8c1 }
.floor { fill: #7a6bd1 }
.line { stroke: #d1d9e0; stroke-width: 1 }
.goal { stroke: #c2410c; stroke-width: 1.5; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #9198a1 }
  .ours { fill: #3fb68b }
  .theirs { fill: #59636e }
  .floor { fill: #a99cf0 }
  .line { stroke: #3d444d }
  .goal { stroke: #fb923c }
}
"""


class Drawing:
    """Shapes are named by a class of :data:`STYLE`; lengths are pixels, y grows downward."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self._size = (width, height)
        self._title = title
        self._shapes: list[str] = []

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        self._shapes.append(f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(words)}</text>')

    def bar(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:g}" rx="2" class="{kind}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "line") -> None:
        self._shapes.append(f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{kind}"/>')

    def render(self) -> str:
        width, height = self._size
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">'
        lines = [head, f"<title>{escape(self._title)}</title>", f"<style>{STYLE}</style>", *self._shapes, "</svg>"]
        return "\n".join(lines) + "\n"
