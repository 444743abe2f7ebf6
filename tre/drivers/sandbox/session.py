"""Our end of a session: frames to and from its supervisor."""

import json
import select
import socket
import subprocess
from datetime import datetime
from typing import Final

from tre.contracts.driver import Ended, EndReason, Output, SessionEvent, Terminal
from tre.contracts.errors import Transient
from tre.drivers.sandbox import supervisor as wire

_REASONS: Final = {
    "exited": EndReason.EXITED,
    "ended-at": EndReason.ENDED_AT,
    "idle": EndReason.IDLE,
    "byte-cap": EndReason.BYTE_CAP,
    "closed": EndReason.CLOSED,
    "ordered": EndReason.ENDED_BY_ORDER,
}


class SandboxSession:
    """`tre.contracts.driver.Session` over a socket to the supervisor."""

    def __init__(self, session: str, ends_at: datetime, sock: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self._session = session
        self._ends_at = ends_at
        self._sock = sock
        self._process = process
        self._reader = wire.Reader()
        self._events: list[SessionEvent] = []
        self._ended: Ended | None = None
        self._seen = [0, 0]

    @property
    def session(self) -> str:
        """See the contract."""
        return self._session

    @property
    def ends_at(self) -> datetime:
        """See the contract."""
        return self._ends_at

    def fileno(self) -> int:
        """See the contract."""
        return self._sock.fileno()

    def send(self, data: bytes) -> None:
        """See the contract. Input after the end is dropped."""
        self._seen[0] += len(data)
        for start in range(0, len(data), 65536):
            self._tell(wire.IN, data[start : start + 65536])

    def send_eof(self) -> None:
        """See the contract."""
        self._tell(wire.EOF)

    def resize(self, size: Terminal) -> None:
        """See the contract."""
        self._tell(wire.RESIZE, json.dumps([size.rows, size.columns]).encode())

    def _tell(self, kind: bytes, body: bytes = b"") -> None:
        if self._ended is None:
            try:
                wire.send(self._sock, kind, body)
            except OSError:
                return

    def receive(self, timeout_s: float | None) -> SessionEvent | None:
        """See the contract."""
        while not self._events:
            if self._ended is not None:
                return self._ended
            ready, _, _ = select.select([self._sock], [], [], timeout_s)
            if not ready:
                return None
            self._take()
        return self._events.pop(0)

    def _take(self) -> None:
        try:
            data = self._sock.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            # The supervisor is gone without a word: it was killed, and its box with it.
            self._over(Ended(EndReason.ENDED_BY_ORDER, None, self._seen[0], self._seen[1]))
            return
        for kind, body in self._reader.feed(data):
            if kind in (wire.OUT, wire.ERR):
                self._seen[1] += len(body)
                self._events.append(Output(body, 1 if kind == wire.OUT else 2))
            elif kind == wire.END:
                end = json.loads(body)
                self._over(Ended(_REASONS[end["reason"]], end["status"], end["in"], end["out"]))

    def _over(self, ended: Ended) -> None:
        self._ended = ended
        self._events.append(ended)
        self._process.wait(10)

    def close(self) -> None:
        """See the contract: the supervisor ends the box when this socket closes."""
        self._sock.close()
        if self._ended is None:
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired as error:
                raise Transient("the session's supervisor did not end") from error
            self._ended = Ended(EndReason.CLOSED, None, self._seen[0], self._seen[1])
