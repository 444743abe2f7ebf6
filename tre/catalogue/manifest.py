"""The BagIt manifest of a folder (RFC 8493, ``manifest-sha256.txt``), and its stat fingerprint.

A dataset is regular files in folders. Links, devices, sockets and setuid files are refused by name: what is checked
must be what is mounted, and a link can be turned in between.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tre.model.canonical import sha256_hex

_CHUNK: Final = 1 << 20
Progress = Callable[[int, int], None]
"""Called with (bytes hashed, bytes in all)."""


class Unfit(Exception):
    """The folder cannot be a dataset; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """One file, as it was seen."""

    path: str
    """Relative, POSIX, in the manifest's spelling."""
    real: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def files_of(folder: Path) -> tuple[File, ...]:
    """Every file below the folder, sorted by path. Unfit for anything that is not a plain readable file or folder."""
    if folder.is_symlink() or not folder.is_dir():
        raise Unfit(f"{folder} is not a folder")
    found = sorted(_walk(os.fsencode(folder), b""), key=lambda f: f.path)
    if not found:
        raise Unfit(f"{folder} has no files")
    folded: dict[str, str] = {}
    for file in found:
        other = folded.setdefault(file.path.casefold(), file.path)
        if other != file.path:
            raise Unfit(f"{file.path} and {other} differ only by case")
    return tuple(found)


def _walk(folder: bytes, below: bytes) -> Iterator[File]:
    with os.scandir(folder) as entries:
        for entry in entries:
            relative = below + entry.name
            shown = encode(relative)
            seen = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                _check_readable(shown, seen.st_mode, 0o005)
                yield from _walk(entry.path, relative + b"/")
                continue
            if stat.S_ISLNK(seen.st_mode):
                raise Unfit(f"{shown} is a symbolic link: replace it by the file it names")
            if not stat.S_ISREG(seen.st_mode):
                raise Unfit(f"{shown} is a device, socket or pipe: remove it")
            if seen.st_mode & (stat.S_ISUID | stat.S_ISGID):
                raise Unfit(f"{shown} is setuid or setgid: chmod u-s,g-s it")
            _check_readable(shown, seen.st_mode, 0o004)
            yield File(shown, entry.path, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)


def _check_readable(shown: str, mode: int, wanted: int) -> None:
    """As root each member has a uid of their own, so data is readable by others; the folder above keeps it in."""
    if os.geteuid() == 0 and mode & wanted != wanted:
        raise Unfit(f"{shown} is not readable by members: chmod -R o+rX the folder")


def encode(path: bytes) -> str:
    """The manifest's spelling: CR, LF and % percent-encoded; other bytes that are not UTF-8 percent-encoded too."""
    text = path.decode("utf-8", errors="surrogateescape").replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
    return "".join(f"%{ord(c) - 0xDC00:02X}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)  # noqa: PLR2004  # surrogateescape's range


def fingerprint(files: Iterable[File]) -> str:
    """Digest over path, size, times and inode of every file: equal means nobody touched them."""
    lines = (f"{f.path}\0{f.size}\0{f.mtime_ns}\0{f.ctime_ns}\0{f.inode}" for f in files)
    return sha256_hex("\n".join(lines).encode("utf-8"))


def manifest_of(files: tuple[File, ...], progress: Progress | None = None) -> bytes:
    """Hash every file, in parallel, and return the manifest's text. Unfit when a file changes meanwhile."""
    total, done = sum(f.size for f in files), 0
    lines: list[str] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for file, digest in zip(files, pool.map(_hash, files), strict=True):
            lines.append(f"{digest}  {file.path}\n")
            done += file.size
            if progress:
                progress(done, total)
    return "".join(lines).encode("utf-8")


def _hash(file: File) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(file.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as source:
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        while size := source.readinto(buffer):
            digest.update(view[:size])
        if os.fstat(source.fileno()).st_ino != file.inode:
            raise Unfit(f"{file.path} was exchanged while it was read")
    return digest.hexdigest()


def differences(manifest: bytes, found: bytes) -> str | None:
    """What differs between two manifests, in one sentence; None when nothing does."""
    before, after = _entries(manifest), _entries(found)
    changed = sorted(p for p in before.keys() & after.keys() if before[p] != after[p])
    missing, extra = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    parts = [
        f"{what} {', '.join(names[:3])}{' and more' if len(names) > 3 else ''}"  # noqa: PLR2004  # the first few
        for what, names in (("changed:", changed), ("missing:", missing), ("extra:", extra))
        if names
    ]
    return "; ".join(parts) or None


def _entries(manifest: bytes) -> dict[str, str]:
    lines = (line.partition("  ") for line in manifest.decode("utf-8").splitlines())
    return {path: digest for digest, _, path in lines}
