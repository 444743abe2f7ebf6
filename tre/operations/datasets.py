"""Datasets come into the catalogue, are listed, and are verified."""

from dataclasses import dataclass

from tre.model.dataset import Dataset, DatasetVerified
from tre.model.record import RecordKind
from tre.operations.desk import Denied, Desk, NotFound, lineage_keys


@dataclass(frozen=True, slots=True)
class DatasetState:
    """A dataset and its last verification."""

    dataset: Dataset
    verified: DatasetVerified | None


class Datasets:
    """Keeps the catalogue's facts. The hashing itself is the catalogue's."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def keep(self, dataset: Dataset, manifest: bytes, verified: DatasetVerified) -> DatasetState:
        """Keep a dataset that was hashed. Denied when its name or its id is taken."""
        with self._desk.store.begin() as uow:
            for other in uow.facts(Dataset):
                if other.name == dataset.name or other.dataset_id == dataset.dataset_id:
                    raise Denied(f"the catalogue has {other.name} with id {other.dataset_id} already")
            uow.put_blob(manifest)
            uow.add(dataset)
            uow.add(verified)
            self._desk.note(
                uow,
                RecordKind.DATASET_ADDED,
                dataset.name,
                dataset_id=dataset.dataset_id,
                manifest=dataset.manifest_digest,
                files=dataset.files,
                bytes=dataset.size_bytes,
            )
            keys = lineage_keys(uow)
        for key in keys:
            self._desk.poke(key)
        return DatasetState(dataset, verified)

    def note_verified(self, verified: DatasetVerified) -> None:
        """Keep the result of a verification."""
        with self._desk.store.begin() as uow:
            uow.add(verified)
            self._desk.note(
                uow, RecordKind.DATASET_VERIFIED, verified.name, matches=verified.matches, problem=verified.problem
            )

    def all(self) -> tuple[DatasetState, ...]:
        """Every dataset."""
        with self._desk.store.read() as reader:
            return tuple(
                DatasetState(d, (reader.facts(DatasetVerified, d.name) or (None,))[-1]) for d in reader.facts(Dataset)
            )

    def one(self, name: str) -> tuple[DatasetState, bytes]:
        """A dataset and its manifest."""
        found = next((s for s in self.all() if s.dataset.name == name), None)
        if found is None:
            raise NotFound(f"no dataset {name!r}")
        with self._desk.store.read() as reader:
            manifest = reader.blob(found.dataset.manifest_digest)
        if manifest is None:
            raise NotFound(f"the manifest of {name!r} is gone")
        return found, manifest
