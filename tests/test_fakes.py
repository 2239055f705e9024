"""What a fake server does with the errors of its handler, and how a test interrupts a program."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import pytest

from tests.fakes.http import HttpServer
from tests.interrupt import interrupt


def handle(error: Exception) -> None:
    """Lets a server handle an error as if its handler had raised it."""
    server = HttpServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    try:
        raise error
    except type(error):
        server.handle_error(None, None)
    finally:
        server.server_close()


@pytest.mark.parametrize("error", [ConnectionResetError(), BrokenPipeError()])
def test_a_client_may_leave(error: Exception) -> None:
    handle(error)


def test_any_other_error_of_a_handler_fails_the_test() -> None:
    with pytest.raises(AssertionError):
        handle(AssertionError())


def test_no_answer_waits_for_an_acknowledgement() -> None:
    with (
        HttpServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server,
        socket.create_connection(("127.0.0.1", server.server_port)),
        server.get_request()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_interrupt_reaches_a_program_that_waits() -> None:
    program = [sys.executable, "-c", "input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        interrupt(process)
        assert process.wait(20) == -signal.SIGINT
