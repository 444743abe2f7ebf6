"""A session at this terminal: raw mode, window size, exit status; or pipes for a command."""

import contextlib
import os
import selectors
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tre.cli.output import tell

if TYPE_CHECKING:
    from tre.client.in_process import InProcess
    from tre.contracts.driver import Ended, Session

_CHUNK = 65536


def converse(client: "InProcess", name: str, member: str | None, argv: tuple[str, ...]) -> int:
    """Open a session, relay until it ends, record its end; the exit status inside, or 255 when it was ended."""
    from tre.contracts.driver import Command, EndReason, Terminal

    if argv:
        mode: Terminal | Command = Command(argv)
    else:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            tell("error: a login needs a terminal; a program is run with: tre login NAME -- COMMAND")
            return 2
        columns, rows = shutil.get_terminal_size()
        mode = Terminal(rows, columns)
    opened = client.open_session(name, member, mode)
    if not argv:
        tell(f"session {opened.session.session} as {opened.person}, until {opened.ends_at:%Y-%m-%d %H:%M:%S} UTC")
    try:
        end = _terminal(opened.session) if not argv else _pipes(opened.session)
    except BaseException:
        opened.session.close()
        client.session_ended(opened, _left(opened.session))
        raise
    opened.session.close()
    client.session_ended(opened, end)
    if end.reason is not EndReason.EXITED:
        tell(f"\nthe session {end.reason.value}")
        return 255
    status = end.exit_status if end.exit_status is not None else 255
    return status if status >= 0 else 128 - status


def _left(session: "Session") -> "Ended":
    from tre.contracts.driver import Ended, EndReason

    found = session.receive(0.0)
    return found if isinstance(found, Ended) else Ended(EndReason.CLOSED, None, 0, 0)


@contextmanager
def _raw() -> Iterator[None]:
    """Every key goes inside, Ctrl-C too; the terminal is restored whatever happens."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _terminal(session: "Session") -> "Ended":
    from tre.contracts.driver import Terminal

    def resized(_number: int, _frame: object) -> None:
        columns, rows = shutil.get_terminal_size()
        session.resize(Terminal(rows, columns))

    before = signal.signal(signal.SIGWINCH, resized)
    try:
        with _raw():
            return _relay(session)
    finally:
        signal.signal(signal.SIGWINCH, before)


def _pipes(session: "Session") -> "Ended":
    return _relay(session)


def _relay(session: "Session") -> "Ended":
    """Carry bytes both ways until the session ends."""
    from tre.contracts.driver import Ended

    with selectors.DefaultSelector() as selector:
        selector.register(session.fileno(), selectors.EVENT_READ, "session")
        with contextlib.suppress(PermissionError, ValueError):  # a regular file as input cannot be waited for
            selector.register(0, selectors.EVENT_READ, "input")
        if len(selector.get_map()) == 1:
            _send_all(session)
        while True:
            for key, _ in selector.select():
                if key.data == "input":
                    data = os.read(0, _CHUNK)
                    if data:
                        session.send(data)
                    else:
                        session.send_eof()
                        selector.unregister(0)
                else:
                    event = _take(session)
                    if isinstance(event, Ended):
                        return event


def _send_all(session: "Session") -> None:
    while data := os.read(0, _CHUNK):
        session.send(data)
    session.send_eof()


def _take(session: "Session") -> "Ended | None":
    """Write what has come; the end, when it has come."""
    from tre.contracts.driver import Ended, Output

    while (event := session.receive(0.0)) is not None:
        if isinstance(event, Ended):
            return event
        if isinstance(event, Output):
            _write(1 if event.stream == 1 else 2, event.data)
    return None


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
