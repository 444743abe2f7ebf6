"""The residue scanner: looks for what a purged workspace left, with eyes of its own."""

from typing import Protocol

from tre.model.facts import Footprint, Residue
from tre.model.observed import Unknown


class ResidueScanner(Protocol):
    """Built by wiring with credentials of its own; runs in a process of its own; imports no driver module."""

    def scan(self, footprint: Footprint) -> tuple[Residue, ...] | Unknown:
        """Return everything of the footprint that still exists; () when none does; Unknown when it cannot tell."""
        ...

    def identity(self) -> str:
        """Who verifies, for the certificate: process, account, vault role."""
        ...
