"""Intent, fence, effect, outcome: every effect on the outside world goes through here."""

from collections.abc import Callable, Sequence

from tre.contracts.errors import ContractError, Refused
from tre.contracts.store import Direction, FenceToken, Intent, Reader
from tre.model.canonical import Json
from tre.model.record import AuditEntry, RecordKind
from tre.model.step import Done, Failed, Outcome, Pending
from tre.store.sql_store import SqlStore


class StoreEffects:
    """`tre.contracts.store.Effects` over a store and whoever knows the current fence."""

    def __init__(self, store: SqlStore, fence: Callable[[], FenceToken | None]) -> None:
        self._store = store
        self._fence = fence

    def carry_out(
        self,
        intents: Sequence[Intent],
        guard: Callable[[Reader], None],
        effect: Callable[[int], Sequence[Outcome]],
    ) -> tuple[Outcome, ...]:
        """See `tre.contracts.store.Effects`."""
        token = self._leadership(intents)
        recovery = self._store.in_recovery()
        if recovery and any(i.direction in (Direction.UP, Direction.DESTROY) for i in intents):
            raise Refused(f"the store is in recovery: {recovery}")
        opened = self._intend(intents, guard, token)
        self._store.crash_point("before-effect")
        try:
            outcomes = tuple(effect(token.fence))
        except ContractError as error:
            self._store.crash_point("after-effect-before-record")
            failed = Failed(error.reason, transient=False)
            self._conclude(intents, opened, [failed] * len(intents))
            raise
        self._store.crash_point("after-effect-before-record")
        self._conclude(intents, opened, outcomes)
        self._store.crash_point("after-record")
        return outcomes

    def _leadership(self, intents: Sequence[Intent]) -> FenceToken:
        """Whoever leads may do anything. Looking, and taking away, needs no leadership: it is safe twice."""
        token = self._fence()
        if token is not None and self._store.holds_lease(token):
            return token
        if any(i.direction in (Direction.UP, Direction.DESTROY) for i in intents):
            raise Refused("another controller leads")
        return FenceToken(self._store.current_fence(), "operator", 0.0)

    def _intend(self, intents: Sequence[Intent], guard: Callable[[Reader], None], token: FenceToken) -> list[int]:
        with self._store.begin() as unit:
            guard(unit)
            opened: list[int] = []
            for intent in intents:
                detail: dict[str, Json] = {
                    "what": intent.what,
                    "direction": intent.direction.value,
                    "fence": token.fence,
                    "detail": intent.detail,
                }
                workspace = intent.ref.workspace
                record = unit.record(AuditEntry(RecordKind.INTENT, token.holder, workspace, detail))
                opened.append(unit.open_effect(workspace, intent.what, token.fence, record.sequence))
            return opened

    def _conclude(self, intents: Sequence[Intent], opened: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        with self._store.begin() as unit:
            for intent, effect, outcome in zip(intents, opened, outcomes, strict=True):
                detail = {"what": intent.what, **_said(outcome)}
                unit.record(AuditEntry(RecordKind.OUTCOME, "controller", intent.ref.workspace, detail))
                unit.close_effect(effect)


def _said(outcome: Outcome) -> dict[str, Json]:
    if isinstance(outcome, Done):
        return {"outcome": "done", "removed": list(outcome.removed)}
    if isinstance(outcome, Pending):
        return {"outcome": "pending", "reason": outcome.reason}
    return {"outcome": "failed", "reason": outcome.reason, "transient": outcome.transient}


def close_open_intents(store: SqlStore, holder: str) -> int:
    """A new leader's first act: an intent without an outcome is closed as unknown; observation tells the rest."""
    with store.begin() as unit:
        left = unit.open_effects()
        for effect, workspace, what, record in left:
            detail: dict[str, Json] = {"what": what, "outcome": "unknown, re-observed", "intent": record}
            unit.record(AuditEntry(RecordKind.OUTCOME, holder, workspace, detail))
            unit.close_effect(effect)
    return len(left)
