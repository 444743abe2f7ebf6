"""The log outside the store: what may not be forgotten, even when the store is restored from an old backup.

One line a commit, fsynced before the commit is answered: the chain's head, counters, fences, witnessed facts.
Each line carries a checksum, so that a torn last line is seen and cut, and any other damage is named.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tre.contracts.store import StoreUnavailable


@dataclass(slots=True)
class Marks:
    """The high-water marks over all lines, and the witnessed facts by (kind, identity)."""

    sequence: int = 0
    hash: str = ""
    incarnation: int = 0
    epoch: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    witnessed: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, line: Mapping[str, object]) -> None:
        """Raise the marks by one line."""
        if int(str(line["seq"])) >= self.sequence:
            self.sequence, self.hash = int(str(line["seq"])), str(line["hash"])
        self.incarnation = max(self.incarnation, int(str(line.get("incarnation", 0))))
        self.epoch = max(self.epoch, int(str(line.get("epoch", 0))))
        counters = line.get("counters", {})
        if isinstance(counters, dict):
            for name, value in counters.items():
                self.counters[name] = max(self.counters.get(name, 0), int(value))
        facts = line.get("facts", [])
        if isinstance(facts, list):
            for kind, identity, body in facts:
                self.witnessed[kind, identity] = body


class OutsideLog:
    """An append-only file. Not safe for two writers at once: the store's write lock orders them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Marks:
        """All marks. A torn last line is not counted; StoreUnavailable names any other damaged line."""
        marks = Marks()
        for line in self._lines():
            marks.take(line)
        return marks

    def _lines(self) -> Iterator[Mapping[str, object]]:
        if not self._path.exists():
            return
        raw = self._path.read_bytes().split(b"\n")
        for number, text in enumerate(raw, 1):
            if not text:
                continue
            checksum, _, body = text.partition(b" ")
            if checksum != f"{zlib.crc32(body):08x}".encode():
                if number == len(raw):
                    return
                raise StoreUnavailable(f"line {number} of {self._path.name} is damaged")
            yield json.loads(body)

    def append(self, line: Mapping[str, object]) -> None:
        """Write one line durably. StoreUnavailable when it cannot be."""
        body = json.dumps(line, sort_keys=True, separators=(",", ":")).encode()
        data = f"{zlib.crc32(body):08x} ".encode() + body + b"\n"
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._cut_torn_tail(descriptor)
                os.write(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreUnavailable(f"the log outside the store cannot be written: {error.strerror}") from error

    @staticmethod
    def _cut_torn_tail(descriptor: int) -> None:
        """Stand at the end of the last whole line."""
        end = os.lseek(descriptor, 0, os.SEEK_END)
        if end == 0 or os.pread(descriptor, 1, end - 1) == b"\n":
            return
        start = max(0, end - (1 << 20))
        tail = os.pread(descriptor, end - start, start)
        whole = start + tail.rfind(b"\n") + 1
        os.ftruncate(descriptor, whole)
        os.lseek(descriptor, whole, os.SEEK_SET)
