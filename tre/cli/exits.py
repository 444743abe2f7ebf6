"""The documented exit statuses, and the one place that turns an error into one."""

from enum import IntEnum


class Exit(IntEnum):
    """What an exit status means."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    MISSING = 3
    """Something is missing on this machine; the hint is the command that mends it."""
    REFUSED = 4
    NOT_READY = 5
    NOT_FOUND = 6
    UNAVAILABLE = 7
    UNVERIFIED = 8
    INTERRUPTED = 130


def explain(error: BaseException) -> tuple[Exit, str, str] | None:
    """Exit status, reason and hint of an expected error; None for one that is ours."""
    from tre.catalogue.manifest import Unfit
    from tre.contracts.errors import Permanent, Refused, Transient
    from tre.contracts.store import Conflict, StoreUnavailable
    from tre.model.names import InvalidName
    from tre.operations.desk import Denied, NotFound
    from tre.policy.bundle import BundleInvalid
    from tre.settings import SettingsInvalid

    statuses: tuple[tuple[type[BaseException], Exit], ...] = (
        (NotFound, Exit.NOT_FOUND),
        (Denied, Exit.REFUSED),
        (Refused, Exit.REFUSED),
        (Conflict, Exit.REFUSED),
        (Unfit, Exit.REFUSED),
        (InvalidName, Exit.USAGE),
        (SettingsInvalid, Exit.USAGE),
        (BundleInvalid, Exit.USAGE),
        (Transient, Exit.UNAVAILABLE),
        (Permanent, Exit.MISSING),
        (StoreUnavailable, Exit.UNAVAILABLE),
        (FileNotFoundError, Exit.NOT_FOUND),
        (PermissionError, Exit.REFUSED),
    )
    for kind, status in statuses:
        if isinstance(error, kind):
            return status, str(error), str(getattr(error, "hint", ""))
    return None
