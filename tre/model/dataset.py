"""Catalogued bodies of data."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Dataset:
    """A catalogued body of data with a manifest. NAME is ours; `dataset_id` is the permit's URL."""

    fact: ClassVar[str] = "dataset"
    name: str
    dataset_id: str
    path: str
    manifest_digest: str
    """SHA-256 of the BagIt ``manifest-sha256.txt`` text, which is kept as a blob under this digest."""
    files: int
    size_bytes: int
    owner: str
    form: str
    """pseudonymised or anonymised"""
    category: str
    visa_value: str | None
    added_at: datetime


@dataclass(frozen=True, slots=True)
class DatasetVerified:
    """A full hash of every file, equal to the manifest or not, and the stat fingerprint that goes with it."""

    fact: ClassVar[str] = "dataset-verified"
    name: str
    manifest_digest: str
    fingerprint: str
    """Digest over (path, size, mtime, ctime, inode) of every file."""
    matches: bool
    problem: str | None
    at: datetime
