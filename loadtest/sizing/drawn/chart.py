"""Line charts with logarithmic axes, as SVG that needs nothing else."""

import html
import math
from collections.abc import Callable
from dataclasses import dataclass, field

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 74, 190, 44, 56
# Told apart by the colour-blind too (Okabe and Ito), on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#000000")


@dataclass(frozen=True)
class Line:
    """`dots` are measured, what is drawn is the model."""

    name: str
    points: list[tuple[float, float]]
    dots: list[tuple[float, float]] = field(default_factory=list)
    is_dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """From and up to a power of ten."""

    name: str
    low: float
    high: float
    text: Callable[[float], str]

    def part(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        return math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self) -> list[float]:
        first, last = round(math.log10(self.low)), round(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1)]


def x_of(axis: Axis, value: float) -> float:
    return LEFT + axis.part(value) * (WIDTH - LEFT - RIGHT)


def y_of(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.part(value) * (HEIGHT - TOP - BOTTOM)


def text(x: float, y: float, said: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(said)}</text>'


def frame(title: str, across: Axis, up: Axis) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [text(LEFT, 22, title, 'font-size="15" font-weight="bold"')]
    for tick in across.ticks():
        x = x_of(across, tick)
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(text(x, bottom + 18, across.text(tick), 'text-anchor="middle"'))
    for tick in up.ticks():
        y = y_of(up, tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y + 4, up.text(tick), 'text-anchor="end"'))
    parts.append(text((LEFT + right) / 2, HEIGHT - 14, across.name, 'text-anchor="middle"'))
    middle = (TOP + bottom) / 2
    parts.append(text(18, middle, up.name, f'text-anchor="middle" transform="rotate(-90 18 {middle:.1f})"'))
    return parts


def clipped(points: list[tuple[float, float]], up: Axis) -> list[tuple[float, float]]:
    """Without what is beyond the ends of the axis."""
    return [(x, y) for x, y in points if up.low <= y <= up.high]


def line(drawn: Line, colour: str, across: Axis, up: Axis) -> list[str]:
    points = clipped(drawn.points, up)
    path = "L".join(f"{x_of(across, x):.1f} {y_of(up, y):.1f}" for x, y in points)
    dash = ' stroke-dasharray="6 4"' if drawn.is_dashed else ""
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'] if points else []
    for x, y in clipped(drawn.dots, up):
        parts.append(f'<circle cx="{x_of(across, x):.1f}" cy="{y_of(up, y):.1f}" r="4" fill="{colour}"/>')
    return parts


def labels(lines: list[Line], up: Axis) -> list[str]:
    """The names, each beside the end of its line, but never over another one."""
    ends = []
    for place, drawn in enumerate(lines):
        points = clipped(drawn.points, up)
        if points:
            ends.append((y_of(up, points[-1][1]), place, drawn.name))
    parts, last = [], -math.inf
    for y, place, name in sorted(ends):
        last = max(y + 4, last + 15)
        parts.append(text(WIDTH - RIGHT + 8, last, name, f'fill="{COLOURS[place]}"'))
    return parts


def drawn(title: str, across: Axis, up: Axis, lines: list[Line]) -> str:
    """The whole file."""
    if len(lines) > len(COLOURS):
        raise ValueError(f"{len(lines)} lines, and {len(COLOURS)} colours")
    parts = frame(title, across, up)
    for colour, each in zip(COLOURS, lines, strict=False):
        parts += line(each, colour, across, up)
    parts += labels(lines, up)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12" role="img">'
    )
    title_tag = f"<title>{html.escape(title)}</title>"
    background = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    return "\n".join([head, title_tag, background, *parts, "</svg>", ""])
