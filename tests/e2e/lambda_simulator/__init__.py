"""A simulator of one AWS Lambda execution environment: extensions, runtime, the two APIs between them.

    with Environment(extensions=[path], function=Function(runtimes.python(), task_root)) as environment:
        environment.init()
        answer = environment.invoke({"order": 7})
        print(answer.value)
        environment.shutdown()
        print(render(environment.timeline))

See tests/e2e/README.md for the rules it follows and where it differs from Lambda.
"""

from . import runtimes
from .clock import Clock
from .environment import Answer, Environment, Function
from .errors import InitError, InvocationError, RuntimeMissingError, SimulatorError
from .faults import Deliver, Fault, Respond
from .picture import render
from .runtimes import Runtime
from .sandbox import Process
from .timeline import Event, Kind, LogLine, NotSeenError, Timeline
from .variables import Credentials, InitializationType

__all__ = [
    "Answer",
    "Clock",
    "Credentials",
    "Deliver",
    "Environment",
    "Event",
    "Fault",
    "Function",
    "InitError",
    "InitializationType",
    "InvocationError",
    "Kind",
    "LogLine",
    "NotSeenError",
    "Process",
    "Respond",
    "Runtime",
    "RuntimeMissingError",
    "SimulatorError",
    "Timeline",
    "render",
    "runtimes",
]
