"""Draws charts as SVG with Matplotlib. The same numbers make the same bytes, so that a history shows what changed."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

Points = Sequence[tuple[float, float]]
# Okabe and Ito's colours, which colour-blind people can distinguish.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# The colours of text and grid, on a white page and on a dark one.
LIGHT, DARK = ("#1f2328", "#d1d9e0"), ("#e6edf3", "#3d444d")
_STYLE: Any = {
    "svg.hashsalt": "keystart",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
}


@dataclass(frozen=True)
class Axis:
    """The text at an axis, and how it places values."""

    title: str
    logarithmic: bool = False


def lines(
    title: str,
    x: Axis,
    y: Axis,
    series: Mapping[str, Points],
    dashed: Mapping[str, Points],
    names: Iterable[str],
) -> str:
    """Draws a line for each name, and with `dashed` a second one. `names` are those of all charts of a page."""
    figure, axes = _chart(title, 3.6)
    colours = {name: colour for name, colour in zip(names, COLOURS, strict=False) if name in series}
    for style, group in (("-", series), ("--", dashed)):
        for name, points in group.items():
            across, up = zip(*points, strict=True)
            label = name if style == "-" else None
            axes.plot(across, up, style, color=colours[name], marker="o", markersize=4, label=label)
    _scale(axes, x, "x")
    _scale(axes, y, "y")
    axes.grid(color=LIGHT[1])
    return _svg(figure, axes)


def stacks(title: str, x: Axis, rows: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """Draws a bar of parts for each row; each part is its name and its length."""
    figure, axes = _chart(title, 0.32 * len(rows) + 0.8)
    colours = dict(
        zip(dict.fromkeys(part for row in rows.values() for part, _ in row), COLOURS, strict=False)
    )
    for name, parts in rows.items():
        begin = 0.0
        for part, length in parts:
            axes.barh(name, length, 0.7, left=begin, color=colours[part])
            begin += length
    for part, colour in colours.items():
        axes.barh(0, 0, color=colour, label=part)
    axes.invert_yaxis()
    _scale(axes, x, "x")
    axes.grid(axis="x", color=LIGHT[1])
    return _svg(figure, axes)


def bars(
    title: str,
    x: Axis,
    rows: Mapping[str, Mapping[str, float]],
    ink: tuple[str, str] | None = None,
) -> str:
    """Draws a group of bars for each row, with a bar for each name. With `ink` the page shows through."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    figure, axes = _chart(title, 0.24 * len(names) * len(rows) + 0.8, ink or LIGHT)
    height = 0.8 / len(names)
    for place, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        shown = {number: row[name] for number, row in enumerate(rows.values()) if name in row}
        at = [number + (place - (len(names) - 1) / 2) * height for number in shown]
        drawn = axes.barh(at, list(shown.values()), height * 0.9, color=colour, label=name)
        texts = [f"{value:,.0f}" for value in shown.values()]
        axes.bar_label(drawn, texts, padding=3, color=(ink or LIGHT)[0])
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    _scale(axes, x, "x")
    axes.grid(axis="x", color=(ink or LIGHT)[1])
    return _svg(figure, axes, ink)


def _chart(title: str, height: float, ink: tuple[str, str] = LIGHT) -> tuple[Figure, Axes]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7, height))
        axes = figure.subplots()
    axes.set_title(title, loc="left", color=ink[0])
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=ink[0])
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _scale(axes: Axes, axis: Axis, which: str) -> None:
    getattr(axes, f"set_{which}label")(axis.title)
    drawn = getattr(axes, f"{which}axis")
    if axis.logarithmic:
        getattr(axes, f"set_{which}scale")("log")
        drawn.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        drawn.set_minor_locator(NullLocator())
    drawn.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _svg(figure: Figure, axes: Axes, ink: tuple[str, str] | None = None) -> str:
    axes.xaxis.label.set_color((ink or LIGHT)[0])
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, labelcolor=(ink or LIGHT)[0])
    out = io.StringIO()
    with mpl.rc_context(_STYLE):
        # Without the date and the version, which would change the bytes.
        plain = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", bbox_inches="tight", transparent=ink is not None, metadata=plain)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
