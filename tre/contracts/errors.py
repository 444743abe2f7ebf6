"""The errors of every contract. Each answers one question: will trying again help?

ContractError
├── Transient   yes, later (`retry_after_s` where the far side said when)
├── Permanent   no, until somebody changes something
└── Refused     no: it must not be done
"""


class ContractError(Exception):
    """Base of the three. The message is one line, stable, and without secrets; the cause is chained."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Transient(ContractError):
    """The far side did not answer, or not now."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Permanent(ContractError):
    """Trying again will not help until something outside is changed."""


class Refused(ContractError):
    """What was asked must not be done: a hold, a newer order, a lower fence, an ended permit, a lack of rights."""
