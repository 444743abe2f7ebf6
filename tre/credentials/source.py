"""Where a driver gets the secret it delivers: minted at the moment of delivery, kept by nobody."""

from collections.abc import Callable

from tre.contracts.credentials import CredentialAuthority, CredentialHandle, Lease
from tre.model.observed import HeldCredential
from tre.model.secret import Secret
from tre.model.workspace import WorkspaceRef


class MintingSource:
    """`tre.contracts.secrets.SecretSource` over an authority.

    `note` is called with each lease (its accessor is remembered, its secret is not) before the secret is handed over.
    """

    def __init__(self, authority: CredentialAuthority, note: Callable[[Lease], None]) -> None:
        self._authority = authority
        self._note = note

    def fetch(self, ref: WorkspaceRef, credential: HeldCredential) -> Secret:
        """Mint the secret of this slot and epoch. Raises what the authority raises."""
        lease = self._authority.issue(CredentialHandle(ref, credential.slot, credential.epoch), credential.ends_at)
        self._note(lease)
        return lease.secret
