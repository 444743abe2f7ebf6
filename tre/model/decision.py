"""What policy answers, and why something was refused."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One rule's word on one field. `rule` is a V- or SPE-id; `reason` is one line for the sender."""

    rule: str
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.rule} {self.field}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether policy allows a workspace now. `obligations` name what must be enforced meanwhile."""

    allowed: bool
    reasons: tuple[Finding, ...]
    obligations: tuple[str, ...]
    bundle_digest: str
    pending: tuple[Finding, ...] = field(default=())
    """What keeps the permit PENDING: not a refusal, a wait for people (V-17, V-18)."""
