"""Every kind of fact: its class, its key, its identity, and whether the outside log witnesses it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from tre.contracts.store import Fact
from tre.model import dataset, facts, order
from tre.model.instants import format_instant


@dataclass(frozen=True, slots=True)
class Kind:
    """How facts of one class are kept."""

    cls: type[Any]
    key: Callable[[Any], str]
    identity: Callable[[Any], str]
    witnessed: Callable[[Any], bool] = lambda _fact: False
    """What may not be forgotten even when the store is restored from an old backup."""


def _always(_fact: object) -> bool:
    return True


KINDS: Final[dict[str, Kind]] = {
    k.cls.fact: k
    for k in (
        Kind(dataset.Dataset, lambda f: f.name, lambda f: f.name),
        Kind(dataset.DatasetVerified, lambda f: f.name, lambda f: f"{f.name}@{f.at.isoformat()}"),
        Kind(order.Order, lambda f: f.scope.permit.key, lambda f: f.order, _always),
        Kind(order.StatusMessage, lambda f: f.permit.key, lambda f: f"{f.permit.issuer}/{f.message_id}", _always),
        Kind(facts.MessageReceived, lambda f: f.issuer, lambda f: f"{f.issuer}/{f.message_id}"),
        Kind(facts.PermitVersion, lambda f: f.permit.key, lambda f: f"{f.permit.key}/{f.version}"),
        Kind(facts.Expired, lambda f: f.permit.key, lambda f: f.permit.key, _always),
        Kind(facts.SignOff, lambda f: f.permit.key, lambda f: f"{f.permit.key}/{f.version}/{f.condition}/{f.by}"),
        Kind(facts.Workspace, lambda f: f.permit.key, lambda f: f.ref.workspace),
        Kind(facts.Member, lambda f: f.workspace, lambda f: f"{f.workspace}/{f.slot}"),
        Kind(facts.CredentialEpoch, lambda f: f.workspace, lambda f: f"{f.workspace}/{f.slot}/{f.epoch}"),
        Kind(facts.CredentialIssued, lambda f: f.workspace, lambda f: f"{f.workspace}/{f.slot}/{f.epoch}/{f.accessor}"),
        Kind(facts.CredentialClosed, lambda f: f.workspace, lambda f: f"{f.workspace}/{f.slot}/{f.epoch}", _always),
        Kind(facts.CredentialDead, lambda f: f.workspace, lambda f: f"{f.workspace}/{f.slot}/{f.epoch}", _always),
        Kind(facts.LockProved, lambda f: f.workspace, lambda f: f.workspace, _always),
        Kind(facts.Purged, lambda f: f.workspace, lambda f: f.workspace, _always),
        Kind(facts.FootprintItem, lambda f: f.workspace, lambda f: f"{f.workspace}/{f.kind}/{f.value}"),
        Kind(facts.TrustEntry, lambda f: f.kid, lambda f: f.kid),
        Kind(facts.TrustRevoked, lambda f: f.kid, lambda f: f.kid, _always),
        Kind(facts.ApprovalRequest, lambda f: f.request, lambda f: f.request),
        Kind(facts.ApprovalStatement, lambda f: f.request, lambda f: f"{f.request}/{f.approver}"),
        Kind(facts.ApprovalCarriedOut, lambda f: f.request, lambda f: f.request, _always),
        Kind(facts.BundleActivated, lambda _f: "bundle", lambda f: f"{f.digest}@{format_instant(f.at)}"),
        Kind(facts.Certificate, lambda f: f.workspace, lambda f: f.workspace),
    )
}


_ADAPTERS: Final[dict[type[Any], TypeAdapter[Any]]] = {}  # built once each: building one costs milliseconds


def adapter(cls: type[Any]) -> TypeAdapter[Any]:
    """The lossless JSON form of a fact or status class."""
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def dump(value: object) -> str:
    """A fact or status as JSON text."""
    return adapter(type(value)).dump_json(value).decode()


def kind_of(fact: Fact) -> Kind:
    """The kind of a fact. KeyError for a class that is not kept."""
    return KINDS[fact.fact]
