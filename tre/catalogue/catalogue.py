"""Datasets: added with a manifest, watched by fingerprint, verified by hashing everything again."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tre.catalogue.manifest import Progress, Unfit, differences, files_of, fingerprint, manifest_of
from tre.contracts.clock import Clock
from tre.model.canonical import sha256_hex
from tre.model.dataset import Dataset, DatasetVerified
from tre.model.names import checked

_ID: Final = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/[!-~]*|urn:[a-z0-9][a-z0-9-]{1,31}:[!-~]+")
_ID_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class Description:
    """What an operator says of a dataset."""

    name: str
    dataset_id: str
    owner: str
    form: str
    category: str
    visa_value: str | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """A new dataset, its manifest, and the verification that comes with it."""

    dataset: Dataset
    manifest: bytes
    verified: DatasetVerified


class Catalogue:
    """Reads dataset folders."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def add(self, description: Description, folder: Path, progress: Progress | None = None) -> Added:
        """Hash a folder into a dataset. InvalidName, or Unfit for an id or folder that cannot be one."""
        checked(description.name, "dataset name")
        if len(description.dataset_id) > _ID_MAX or not _ID.fullmatch(description.dataset_id):
            raise Unfit("the dataset id is an absolute https URL or a URN of at most 255 characters")
        folder = folder.absolute()
        files = files_of(folder)
        manifest = manifest_of(files, progress)
        digest, now = sha256_hex(manifest), self._clock.now()
        dataset = Dataset(
            name=description.name,
            dataset_id=description.dataset_id,
            path=str(folder),
            manifest_digest=digest,
            files=len(files),
            size_bytes=sum(f.size for f in files),
            owner=description.owner,
            form=description.form,
            category=description.category,
            visa_value=description.visa_value,
            added_at=now,
        )
        return Added(dataset, manifest, DatasetVerified(dataset.name, digest, fingerprint(files), True, None, now))

    def unchanged(self, dataset: Dataset, last: DatasetVerified) -> bool:
        """Whether the fingerprint is the one of the last full hash."""
        try:
            return fingerprint(files_of(Path(dataset.path))) == last.fingerprint
        except (OSError, Unfit):
            return False

    def verify(self, dataset: Dataset, manifest: bytes, progress: Progress | None = None) -> DatasetVerified:
        """Hash everything again. A folder that cannot be read does not match, and the problem says why."""
        seen = ""
        try:
            files = files_of(Path(dataset.path))
            seen = fingerprint(files)
            problem = differences(manifest, manifest_of(files, progress))
            if problem is None and fingerprint(files_of(Path(dataset.path))) != seen:
                problem = "files changed while they were hashed"
        except (OSError, Unfit) as error:
            problem = str(error)
        return DatasetVerified(dataset.name, dataset.manifest_digest, seen, problem is None, problem, self._clock.now())
