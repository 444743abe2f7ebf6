"""What a reconciler is given, and the two answers it may give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from tre.contracts.clock import Clock
from tre.contracts.credentials import CheckpointSigner, CredentialAuthority
from tre.contracts.driver import Driver
from tre.contracts.residue import ResidueScanner
from tre.contracts.store import Effects, Store
from tre.dossier.files import Dossier
from tre.model.dataset import Dataset, DatasetVerified
from tre.model.probe import ProbeClass, ProbeTarget


class DataWatch(Protocol):
    """Looks whether a dataset still is what its manifest says (design section 10)."""

    def unchanged(self, dataset: Dataset, last: DatasetVerified) -> bool:
        """Whether the stat fingerprint equals the one of the last full hash. Cheap."""
        ...

    def verify(self, dataset: Dataset, manifest: bytes) -> DatasetVerified:
        """Hash every file against the manifest. As slow as the data is large."""
        ...


@dataclass(frozen=True, slots=True)
class Decoys:
    """Things that exist outside and must not be reachable inside, and addresses to try."""

    paths: tuple[tuple[ProbeClass, str], ...] = ()
    targets: tuple[ProbeTarget, ...] = ()


@dataclass(frozen=True, slots=True)
class Intervals:
    """Seconds between looks."""

    sweep_s: float = 300.0
    retry_s: float = 5.0
    probe_retry_s: float = 10.0
    checkpoint_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Every object a reconciler works with. Built by wiring."""

    store: Store
    effects: Effects
    clock: Clock
    dossier: Dossier
    drivers: Mapping[str, Driver]
    authority: CredentialAuthority
    signer: CheckpointSigner
    scanners: Mapping[str, ResidueScanner]
    data: DataWatch
    decoys: Decoys
    intervals: Intervals
    new_id: Callable[[], str]
    close_open_intents: Callable[[str], int]
    """Close, for the named new leader, every intent that has no outcome."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing to do until something changes or the sweep comes by."""


@dataclass(frozen=True, slots=True)
class Again:
    """Look again after `after_s`; waiting is not failing."""

    after_s: float
    why: str


Answer: TypeAlias = Done | Again


def sooner(first: Answer, second: Answer) -> Answer:
    """The shortest wait wins."""
    if isinstance(first, Again) and isinstance(second, Again):
        return first if first.after_s <= second.after_s else second
    return first if isinstance(first, Again) else second
