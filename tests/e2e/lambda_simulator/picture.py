"""Draws a timeline as text for a terminal. Reads only the timeline and the marks.

         0 ms                                                  186.1 ms
init     ├──────────────────────────────────────────────────────┤        186.1 ms
keystart ░░▒▒▒▒▒▒▒▒▒▒▒▒▒··································               registered 6.2, next 58.4
runtime    ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░                      next 185.9
published               ▲                                                57.9 ms
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .control import RUNTIME
from .timeline import Event, Kind, Timeline

STARTING, WORKING, HANDLING, WAITING = "░▒█·"
LEGEND = (
    f"{STARTING} starting  {WORKING} registered  {HANDLING} handling an event  {WAITING} waiting for the next"
)
PHASES = {
    "init": (Kind.INIT_START, (Kind.INIT_END, Kind.INIT_FAILED)),
    "restore": (Kind.RESTORE_START, (Kind.RESTORE_END,)),
    "invoke": (Kind.INVOKE_START, (Kind.INVOKE_END,)),
    "shutdown": (Kind.SHUTDOWN_START, (Kind.SHUTDOWN_END,)),
}
# The state of a process from this event on; None: it has ended.
DOES: Mapping[Kind, str | None] = {
    Kind.EXTENSION_STARTED: STARTING,
    Kind.EXTENSION_REGISTERED: WORKING,
    Kind.EXTENSION_NEXT: WAITING,
    Kind.EXTENSION_EVENT: HANDLING,
    Kind.EXTENSION_EXITED: None,
    Kind.RUNTIME_STARTED: STARTING,
    Kind.RUNTIME_RESTORE_NEXT: WAITING,
    Kind.RUNTIME_NEXT: WAITING,
    Kind.RUNTIME_EVENT: HANDLING,
    Kind.RUNTIME_EXITED: None,
}
TOLD = {  # the events whose times appear at the end of a process's line, the first of each kind
    Kind.EXTENSION_REGISTERED: "registered",
    Kind.EXTENSION_NEXT: "next",
    Kind.RUNTIME_STARTED: "started",
    Kind.RUNTIME_NEXT: "next",
}
BOLD, CYAN, YELLOW, RED, PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[33m", "\x1b[31m", "\x1b[0m"


@dataclass
class _Line:
    name: str
    colour: str
    cells: list[str]
    times: list[str] = field(default_factory=list)


class _Drawing:
    """Lines over one axis of time."""

    def __init__(self, first_ns: int, last_ns: int, width: int) -> None:
        self.first_ns = first_ns
        self.last_ns = last_ns
        self.width = width
        self.lines: list[_Line] = []

    def line(self, name: str, colour: str) -> _Line:
        line = _Line(name, colour, [" "] * self.width)
        self.lines.append(line)
        return line

    def column(self, at_ns: int) -> int:
        span = max(1, self.last_ns - self.first_ns)
        return min(self.width - 1, max(0, (at_ns - self.first_ns) * (self.width - 1) // span))

    def fill(self, line: _Line, start_ns: int, end_ns: int, symbol: str) -> None:
        first = self.column(start_ns)
        for column in range(first, max(first + 1, self.column(end_ns))):
            line.cells[column] = symbol

    def text(self, colour: bool, head: tuple[str, str]) -> str:
        names = max(len(line.name) for line in self.lines)
        gap = " " * max(1, self.width - len(head[0]) - len(head[1]))
        rows = [" " * (names + 1) + head[0] + gap + head[1]]
        for line in self.lines:
            row = f"{line.name:<{names}} {''.join(line.cells)}  {', '.join(line.times)}".rstrip()
            rows.append(f"{line.colour}{row}{PLAIN}" if colour else row)
        rows.append(" " * (names + 1) + LEGEND)
        return "\n".join(rows)


def render(
    timeline: Timeline, marks: Mapping[str, int] | None = None, *, width: int = 64, colour: bool = False
) -> str:
    """Returns the timeline as a picture: a line for each phase, process and mark.

    marks       further moments, by name: `time.monotonic_ns`, or the result of `Timeline.at_wall_time`
    width       columns of the axis; names and times appear next to it
    colour      with ANSI colours: pass `sys.stdout.isatty()`
    """
    events = list(timeline)
    given = dict(marks or {})
    moments = [event.at_ns for event in events] + list(given.values())
    if not moments:
        return "(nothing has happened)"
    drawing = _Drawing(min(moments), max(moments), width)
    for name in PHASES:
        _phase(drawing, events, name)
    for who in dict.fromkeys(event.who for event in events if event.kind in DOES):
        _process(drawing, timeline, [event for event in events if event.who == who], who)
    for name, at_ns in sorted(given.items(), key=lambda item: item[1]):
        line = drawing.line(name, YELLOW)
        line.cells[drawing.column(at_ns)] = "▲"
        line.times.append(_milliseconds(timeline, at_ns))
    head = (_milliseconds(timeline, drawing.first_ns), _milliseconds(timeline, drawing.last_ns))
    return drawing.text(colour, head)


def _phase(drawing: _Drawing, events: Iterable[Event], name: str) -> None:
    start, ends = PHASES[name]
    begun: Event | None = None
    line: _Line | None = None
    for event in events:
        if event.kind is start:
            begun = event
        elif event.kind in ends and begun is not None:
            line = line or drawing.line(name, BOLD)
            drawing.fill(line, begun.at_ns, event.at_ns, "─")
            line.cells[drawing.column(begun.at_ns)] = "├"
            line.cells[drawing.column(event.at_ns)] = "┤"
            line.times.append(f"{(event.at_ns - begun.at_ns) / 1e6:.1f} ms{_outcome(event)}")
            line.colour = RED if _outcome(event) else line.colour
            begun = None


def _outcome(event: Event) -> str:
    error_type = event.detail.get("error_type")
    return f" {error_type}" if error_type else ""


def _process(drawing: _Drawing, timeline: Timeline, events: Iterable[Event], who: str) -> None:
    line = drawing.line(who, "" if who == RUNTIME else CYAN)
    drawn: set[Kind] = set()
    doing: str | None = None
    since = 0
    for event in events:
        if event.kind in TOLD and event.kind not in drawn:
            drawn.add(event.kind)
            line.times.append(f"{TOLD[event.kind]} {timeline.milliseconds(event.at_ns):.1f}")
        if event.kind in DOES:
            if doing is not None:
                drawing.fill(line, since, event.at_ns, doing)
            doing, since = DOES[event.kind], event.at_ns
        if event.kind is Kind.EXTENSION_EXITED or event.kind is Kind.RUNTIME_EXITED:
            line.cells[drawing.column(event.at_ns)] = (
                "╴" if event.detail["code"] in (0, -signal.SIGTERM) else "×"
            )
    if doing is not None:
        drawing.fill(line, since, drawing.last_ns, doing)


def _milliseconds(timeline: Timeline, at_ns: int) -> str:
    return f"{timeline.milliseconds(at_ns):.1f} ms"
