"""Draws charts as SVG. The same numbers make the same bytes, so that a page's history shows what changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]
# Okabe and Ito's colours, which colour-blind people can distinguish.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LEFT, _RIGHT, _TOP, _BOTTOM = 170, 180, 40, 50
_PLOT = 460  # the width between the axes
_ROW = 26


@dataclass(frozen=True)
class Axis:
    """The text at an axis, and how it places values."""

    title: str
    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Returns the position of a value between 0, the low end, and 1, the high one."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Returns the values to print at the axis."""
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if self.high / self.low < 100 else (1, 5)  # as many as fit
            places = [step * 10.0**decade for decade in decades for step in steps]
            return [place for place in places if self.low * 0.999 <= place <= self.high * 1.001]
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        return [step * n for n in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def axis(title: str, values: Sequence[float], *, logarithmic: bool = False) -> Axis:
    """Makes an axis for all the values. One that is not logarithmic begins at 0."""
    if logarithmic:
        return Axis(title, min(values) / 1.1, max(values) * 1.1, True)
    return Axis(title, 0, max(values) * 1.05)


def lines(
    title: str,
    x: Axis,
    y: Axis,
    series: Mapping[str, Points],
    dashed: Mapping[str, Points],
    names: Iterable[str],
) -> str:
    """Draws a line for each name, and with `dashed` a second one. `names` are those of all charts of a page."""
    height = 300
    colours = {name: colour for name, colour in zip(names, COLOURS, strict=False) if name in series}
    body = _ticks_below(x, height) + _ticks_left(y, height)
    for style, group in (("", series), (' stroke-dasharray="5 4"', dashed)):
        for name, points in group.items():
            places = [(_LEFT + x.place(a) * _PLOT, _TOP + (1 - y.place(b)) * height) for a, b in points]
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
            colour = colours[name]
            body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{style}/>')
            body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in places]
    return _page(title, x.title, height, [*body, *_legend(colours)])


def stacks(title: str, x: Axis, rows: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """Draws a bar of parts for each row; each part is its name and its length."""
    colours = dict(
        zip(dict.fromkeys(part for row in rows.values() for part, _ in row), COLOURS, strict=False)
    )
    height = _ROW * len(rows)
    body = _ticks_below(x, height)
    for number, (name, parts) in enumerate(rows.items()):
        top, begin = _TOP + number * _ROW + 4, 0.0
        body.append(_text(_LEFT - 8, top + 13, name, "end"))
        for part, length in parts:
            left, width = _LEFT + x.place(begin) * _PLOT, (x.place(begin + length) - x.place(begin)) * _PLOT
            body.append(_bar(left, top, width, _ROW - 8, colours[part]))
            begin += length
    return _page(title, x.title, height, [*body, *_legend(colours)])


def bars(title: str, x: Axis, rows: Mapping[str, Mapping[str, float]]) -> str:
    """Draws a group of bars for each row, with a bar for each name."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    colours = dict(zip(names, COLOURS, strict=False))
    group = 14 * len(names) + 10
    body = _ticks_below(x, group * len(rows))
    for number, (row, values) in enumerate(rows.items()):
        top = _TOP + number * group + 5
        body.append(_text(_LEFT - 8, top + group / 2, row, "end"))
        for place, (name, value) in enumerate(values.items()):
            body.append(_bar(_LEFT, top + place * 14, x.place(value) * _PLOT, 12, colours[name]))
            body.append(_text(_LEFT + x.place(value) * _PLOT + 4, top + place * 14 + 10, f"{value:,.0f}"))
    return _page(title, x.title, group * len(rows), [*body, *_legend(colours)])


def _page(title: str, below: str, height: float, body: Sequence[str]) -> str:
    size = (_LEFT + _PLOT + _RIGHT, _TOP + max(height, 20 * len(COLOURS)) + _BOTTOM)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]:.0f}" '
        'font-family="sans-serif" font-size="12">'
    )
    frame = [
        f'<rect width="{size[0]}" height="{size[1]:.0f}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">{escape(title)}</text>',
        _text(_LEFT + _PLOT / 2, _TOP + height + 38, below, "middle"),
    ]
    return "\n".join([head, *frame, *body, "</svg>", ""])


def _ticks_below(x: Axis, height: float) -> list[str]:
    drawn = [_line(_LEFT, _TOP + height, _LEFT + _PLOT, _TOP + height, "#333")]
    for tick in x.ticks():
        at = _LEFT + x.place(tick) * _PLOT
        drawn += [
            _line(at, _TOP, at, _TOP + height, "#ddd"),
            _text(at, _TOP + height + 18, f"{tick:,g}", "middle"),
        ]
    return drawn


def _ticks_left(y: Axis, height: float) -> list[str]:
    drawn = [_text(_LEFT - 60, _TOP + height / 2, y.title, "end")]
    for tick in y.ticks():
        at = _TOP + (1 - y.place(tick)) * height
        drawn += [_line(_LEFT, at, _LEFT + _PLOT, at, "#ddd"), _text(_LEFT - 8, at + 4, f"{tick:,g}", "end")]
    return drawn


def _legend(colours: Mapping[str, str]) -> list[str]:
    left, drawn = _LEFT + _PLOT + 20, []
    for number, (name, colour) in enumerate(colours.items()):
        top = _TOP + number * 20
        drawn += [_bar(left, top, 12, 12, colour), _text(left + 18, top + 10, name)]
    return drawn


def _bar(left: float, top: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
