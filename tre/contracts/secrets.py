"""How a driver gets the secret it delivers. No step or fact holds one (D16)."""

from typing import Protocol

from tre.model.observed import HeldCredential
from tre.model.secret import Secret
from tre.model.workspace import WorkspaceRef


class SecretSource(Protocol):
    """Given to drivers by wiring."""

    def fetch(self, ref: WorkspaceRef, credential: HeldCredential) -> Secret:
        """Mint or read the secret of this slot and epoch, ending at or before ``credential.ends_at``.

        May be called again for the same credential (a lost answer): each secret it ever gave dies with the epoch.
        Raises Transient when the vault does not answer, Refused when the epoch is closed.
        """
        ...
