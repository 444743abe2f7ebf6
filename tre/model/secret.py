"""A secret is a type that prints as ``***``, so that it cannot reach a log by being formatted."""

from typing import Never


class Secret:
    """Holds a secret text. Only `reveal` gives it away; it has no order, no hash and does not pickle."""

    __slots__ = ("_text",)
    __hash__ = None  # type: ignore[assignment]  # a hash in a log is a fingerprint of the secret

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __reduce__(self) -> Never:
        message = "a secret is never pickled"
        raise TypeError(message)
