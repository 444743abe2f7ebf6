"""Runs the scanner in a process of its own, as root under an account of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tre.model.facts import Footprint, FootprintKind, Residue
from tre.model.observed import Unknown
from tre.residue.vault import VaultEyes

_LIMIT_S: Final = 120
_MODULE: Final = "tre.residue"


class ScannerProcess:
    """`tre.contracts.residue.ResidueScanner` for this host and its vault."""

    def __init__(self, eyes: Callable[[], VaultEyes] | None, account_uid: int) -> None:
        self._eyes = eyes
        self._uid = account_uid

    def identity(self) -> str:
        """See the contract."""
        who = f"uid {self._uid} with leave to read only" if os.geteuid() == 0 else f"uid {os.getuid()}"
        vault = ", vault role tre-residue" if self._eyes else ""
        return f"{_MODULE} in a process of its own, {who}{vault}"

    def scan(self, footprint: Footprint) -> tuple[Residue, ...] | Unknown:
        """See the contract."""
        question = {
            "items": [{"workspace": i.workspace, "kind": i.kind, "value": i.value} for i in footprint.items],
            "vault": self._vault(),
        }
        try:
            done = subprocess.run(
                [*self._account(), sys.executable, "-I", "-m", _MODULE],
                input=json.dumps(question).encode(),
                capture_output=True,
                timeout=_LIMIT_S,
                check=False,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                cwd="/",
            )
            answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            return Unknown(f"the scanner did not answer: {type(error).__name__}")
        if "residue" in answer:
            return tuple(Residue(FootprintKind(k), v, d) for k, v, d in answer["residue"])
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return Unknown(str(answer.get("unknown") or (said[-1] if said else f"exit status {done.returncode}"))[:300])

    def _account(self) -> list[str]:
        """As root: another uid that may read everything and change nothing."""
        if os.geteuid() != 0:
            return []
        leave = "+dac_read_search,+sys_ptrace"
        return [
            "setpriv",
            f"--reuid={self._uid}",
            f"--regid={self._uid}",
            "--clear-groups",
            f"--inh-caps=-all,{leave}",
            f"--ambient-caps=-all,{leave}",
            f"--bounding-set=-all,{leave}",
            "--no-new-privs",
        ]

    def _vault(self) -> dict[str, str] | None:
        if self._eyes is None:
            return None
        e = self._eyes()
        files: tuple[Path, ...] = (e.ca_file, e.role_id_file, e.secret_id_file)
        return {"address": e.address, "ca": str(files[0]), "role_id": str(files[1]), "secret_id": str(files[2])}
