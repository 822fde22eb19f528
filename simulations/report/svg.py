"""A chart drawn as SVG: a picture that needs no script, follows the page's colours, and prints."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from simulations.report.charts import COLOURS, Chart, Trace

WIDTH: Final = 1_100.0
HEIGHT: Final = 320.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 14.0, 28.0, 44.0
#: About so many ticks on an axis; a letter of a legend is about so wide.
TICKS: Final = 6
LETTER: Final = 7.2
#: What boxes show, and how much of a name's width they take.
_QUARTILES: Final = ("lowerfence", "q1", "median", "q3", "upperfence")
_BOXES: Final = 0.6
#: Names of rows beside a map, at most.
LABELS_MAX: Final = 24


def picture(chart: Chart) -> Markup:
    """The chart's data, as they stand in it; a sentence where there are none."""
    if not chart.data:
        return Markup("<p>There is nothing to show.</p>")
    match chart.data[0]["type"]:
        case "box":
            return _boxes(chart)
        case "heatmap":
            return _heat(chart)
        case _:
            return _lines(chart)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Where values lie in the picture."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: float = HEIGHT

    def across(self, value: float) -> float:
        low, high = self.x
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    def up(self, value: float) -> float:
        low, high = self.y
        return self.height - BOTTOM - (self.height - TOP - BOTTOM) * (value - low) / (high - low)


def _lines(chart: Chart) -> Markup:
    """Steps over time, one above the other where they are stacked."""
    xs = [_numbers(trace["x"]) for trace in chart.data]
    ys = [_numbers(trace["y"]) for trace in chart.data]
    if any("stackgroup" in trace for trace in chart.data):
        ys = [values.tolist() for values in np.cumsum(np.array(ys), axis=0)]
    frame = _Frame(
        x=_range(chart.layout, "xaxis", [v for values in xs for v in values]),
        y=_range(chart.layout, "yaxis", [v for values in ys for v in values]),
    )
    parts = [_grid(chart, frame)]
    # What is stacked last lies behind what it stands on.
    for trace, x, y in reversed(list(zip(chart.data, xs, ys, strict=True))):
        colour, is_dashed = _look(trace)
        path = _steps(frame, x, y)
        if "fill" in trace or "stackgroup" in trace:
            floor = f"{frame.up(frame.y[0]):.1f}"
            area = f"{path}V{floor}H{frame.across(x[0]):.1f}Z"
            parts.append(Markup('<path class="area" d="{}" fill="{}"/>').format(area, colour))
        dash = Markup(' stroke-dasharray="2 3"') if is_dashed else ""
        line = Markup('<path d="{}" stroke="{}"{}><title>{}</title></path>')
        parts.append(line.format(path, colour, dash, trace["name"]))
    return _drawn(chart, frame, [*parts, _legend(chart)])


def _steps(frame: _Frame, x: Sequence[float], y: Sequence[float]) -> str:
    """Each value holds until the next."""
    found = [f"M{frame.across(x[0]):.1f} {frame.up(y[0]):.1f}"]
    found += [f"H{frame.across(a):.1f}V{frame.up(b):.1f}" for a, b in zip(x[1:], y[1:], strict=True)]
    return "".join(found)


def _boxes(chart: Chart) -> Markup:
    """Boxes beside each other over a name, one of each trace that has it: quartiles, with whiskers."""
    names = list(dict.fromkeys(name for trace in chart.data for name in _texts(trace["x"])))
    rows = [list(zip(*(_numbers(trace[share]) for share in _QUARTILES), strict=True)) for trace in chart.data]
    frame = _Frame(
        x=(-0.5, len(names) - 0.5),
        y=_range(chart.layout, "yaxis", [value for found in rows for row in found for value in row]),
    )
    parts = [_grid(chart, frame, names), _legend(chart)]
    width = _BOXES / len(chart.data)
    for number, (trace, found) in enumerate(zip(chart.data, rows, strict=True)):
        of = f"{trace['name']}, " if len(chart.data) > 1 else ""
        for name, row in zip(_texts(trace["x"]), found, strict=True):
            left = names.index(name) - _BOXES / 2 + number * width
            parts.append(_box(frame, left, width, row, f"{of}{name}", _look(trace)[0]))
    return _drawn(chart, frame, parts)


def _box(frame: _Frame, left: float, width: float, row: Sequence[float], name: str, colour: str) -> Markup:
    """One box, from ``left`` on, in names' widths."""
    box = Markup(
        '<g stroke="{c}"><path d="M{m} {low}V{high}"/><rect class="box" x="{l}" y="{q3}" width="{w}"'
        ' height="{h}" fill="{c}"/><path d="M{l} {mid}h{w}" class="thick"/><title>{told}</title></g>'
    )
    low, q1, middle, q3, high = (f"{frame.up(value):.1f}" for value in row)
    return box.format(
        c=colour,
        m=f"{frame.across(left + width / 2):.1f}",
        low=low,
        high=high,
        l=f"{frame.across(left):.1f}",
        w=f"{frame.across(left + width) - frame.across(left):.1f}",
        q3=q3,
        h=f"{float(q1) - float(q3):.1f}",
        mid=middle,
        told=f"{name}: 5 % {row[0]:g}, quartiles {row[1]:g}, {row[2]:g}, {row[3]:g}, 95 % {row[4]:g}",
    )


def _heat(chart: Chart) -> Markup:
    """A pixel for each row and bin: the darker, the more."""
    trace = chart.data[0]
    rows, x = _texts(trace["y"]), _numbers(trace["x"])
    held = np.array(trace["z"], dtype=np.float64)
    height = float(str(chart.layout.get("height", HEIGHT)))
    frame = _Frame(x=_range(chart.layout, "xaxis", x), y=(float(len(rows)), 0.0), height=height)
    top, bottom = frame.up(0.0), frame.up(float(len(rows)))
    image = Markup(
        '<image x="{}" y="{}" width="{}" height="{}" preserveAspectRatio="none" href="{}"/>'
    ).format(LEFT, f"{top:.1f}", WIDTH - LEFT - RIGHT, f"{bottom - top:.1f}", _png(held))
    every = -(-len(rows) // LABELS_MAX)
    label = Markup('<text x="{}" y="{}" text-anchor="end">{}</text>')
    labels = [
        label.format(LEFT - 6, f"{frame.up(at + 0.5) + 4:.1f}", _short(rows[at]))
        for at in range(0, len(rows), every)
    ]
    return _drawn(chart, frame, [image, *labels, *_below(chart, frame)])


def _png(shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    """A data URI: one pixel a share, from 0 to 1, of one colour that is the more opaque the larger it is."""
    height, width = shares.shape
    pixels = np.zeros((height, width, 4), dtype=np.uint8)
    pixels[..., :3] = [int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)]
    pixels[..., 3] = np.rint(255 * (0.06 + 0.94 * np.clip(shares, 0.0, 1.0)))
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


def _drawn(chart: Chart, frame: _Frame, parts: Sequence[Markup]) -> Markup:
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return svg.format(f"{WIDTH:g}", f"{frame.height:g}", chart.title, Markup("").join(parts))


def _grid(chart: Chart, frame: _Frame, names: Sequence[str] = ()) -> Markup:
    line = Markup('<path class="grid" d="M{} {}H{}"/><text x="{}" y="{}" text-anchor="end">{}</text>')
    found = [
        line.format(LEFT, f"{at:.1f}", WIDTH - RIGHT, LEFT - 6, f"{at + 4:.1f}", f"{tick:,g}")
        for tick in ticks(*frame.y)
        for at in [frame.up(tick)]
    ]
    title = Markup('<text transform="translate(14 {}) rotate(-90)" text-anchor="middle">{}</text>')
    found.append(title.format(f"{frame.height / 2:g}", _title(chart, "yaxis")))
    return Markup("").join([*found, *_below(chart, frame, names)])


def _below(chart: Chart, frame: _Frame, names: Sequence[str] = ()) -> Iterator[Markup]:
    """What stands under the picture: ticks or names, and the axis' title."""
    text = Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>')
    known = [(float(at), name) for at, name in enumerate(names)]
    for at, told in known or [(tick, f"{tick:,g}") for tick in ticks(*frame.x)]:
        yield text.format(f"{frame.across(at):.1f}", f"{frame.height - BOTTOM + 16:g}", told)
    yield text.format(f"{WIDTH / 2:g}", f"{frame.height - 6:g}", _title(chart, "xaxis"))


def _legend(chart: Chart) -> Markup:
    entry = Markup('<path d="M{} 12h18" stroke="{}" class="thick"/><text x="{}" y="16">{}</text>')
    found: list[Markup] = []
    at = LEFT
    for trace in chart.data:
        name = _short(str(trace["name"]))
        found.append(entry.format(f"{at:.0f}", _look(trace)[0], f"{at + 24:.0f}", name))
        at += 44 + LETTER * len(name)
    return Markup("").join(found) if len(found) > 1 else Markup("")


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between the two, in either order: steps of 1, 2 or 5 times a power of ten."""
    low, high = min(low, high), max(low, high)
    rough = (high - low) / TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _range(layout: dict[str, object], axis: str, values: Sequence[float]) -> tuple[float, float]:
    """From the lowest to the highest value as the axis wants it, never empty."""
    said = layout.get(axis)
    wanted = said if isinstance(said, dict) else {}
    if "range" in wanted:
        low, high = _numbers(wanted["range"])
        return low, high
    low, high = min(values), max(values)
    if wanted.get("rangemode") == "tozero":
        low = min(0.0, low)
    return low, high if high > low else low + 1.0


def _title(chart: Chart, axis: str) -> str:
    said = chart.layout.get(axis)
    title = said.get("title", {}) if isinstance(said, dict) else {}
    return str(title.get("text", ""))


def _look(trace: Trace) -> tuple[str, bool]:
    """Its colour, and whether it is dashed."""
    line = trace["line"]
    known = line if isinstance(line, dict) else {}
    return str(known["color"]), "dash" in known


def _numbers(values: object) -> list[float]:
    return [float(str(value)) for value in _items(values)]


def _texts(values: object) -> list[str]:
    return [str(value) for value in _items(values)]


def _items(values: object) -> list[object]:
    return list(values) if isinstance(values, list) else []


def _short(name: str, most: int = 28) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
