"""Who leads: the store's lease, kept while we work and given back at the end."""

import os
import secrets
from typing import Final

from tre.contracts.clock import Clock
from tre.contracts.errors import Refused
from tre.contracts.store import FenceToken, Store
from tre.controller.ports import Ports

LEASE_S: Final = 8.0
"""A dead leader is followed within ten seconds."""


class Leader:
    """Holds the lease of one controller process."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._holder = f"{os.uname().nodename[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self.token: FenceToken | None = None
        self.fresh = False
        """Whether we have just become leader: open intents of the one before are to be closed."""

    def try_take(self) -> bool:
        """Take or renew the lease when less than half of it is left. False while another controller leads."""
        _, now_s = self._clock.boot()
        if self.token and self.token.expires_boot_s - now_s > LEASE_S / 2:
            return True
        before = self.token.fence if self.token else None
        self.token = self._store.acquire_lease(self._holder, LEASE_S)
        self.fresh = self.fresh or (self.token is not None and self.token.fence != before)
        return self.token is not None

    def take(self) -> None:
        """Take or renew; Refused while another controller leads."""
        if not self.try_take():
            raise Refused("another controller leads")

    def follow(self, ports: Ports) -> None:
        """A new leader's first act: intents that the one before left open are closed as unknown."""
        if self.fresh:
            ports.close_open_intents(self._holder)
            self.fresh = False

    def give_back(self) -> None:
        """Let another lead at once."""
        if self.token:
            self._store.release_lease(self.token)
            self.token = None
