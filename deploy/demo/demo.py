"""The main job on real data, told on the terminal: `make demo`.

Every step drives the shipped command line in processes of its own and checks what it claims; the first claim that does
not hold ends the demo with exit status 1. Everything lives in a temporary folder that is removed at the end.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

TRE = Path(sys.executable).with_name("tre")
LIFE_S = 24
DATASET_ID = "https://catalogue.example/datasets/ncctg-lung"
ISSUER = "https://permits.example"
console = Console(highlight=False, soft_wrap=True)


class ClaimFailed(Exception):
    """A step did not show what it says."""


def claim(true: object, what: str) -> None:
    """Go on only if it is so."""
    if not true:
        raise ClaimFailed(what)


class Demo:
    """One run in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "TRE_HOME": str(folder / "home"), "NO_COLOR": "1"}
        self.began = time.monotonic()
        self.workspace = ""
        self.ends_at = datetime.now(UTC)
        self.children: list[subprocess.Popen[bytes]] = []

    def run(self, *argv: str | Path, expect: int | None = 0, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run one tre command."""
        done = subprocess.run(
            [str(TRE), *map(str, argv)], cwd=self.folder, env=self.env, input=stdin, capture_output=True, check=False
        )
        if expect is not None and done.returncode != expect:
            said = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
            raise ClaimFailed(f"tre {' '.join(map(str, argv))} ended with {done.returncode}: {said}")
        return done

    def json(self, *argv: str | Path, expect: int | None = 0) -> Any:
        """Run one tre command and read what it printed."""
        return json.loads(self.run(*argv, "--json", expect=expect).stdout)

    def inside(self, script: str, expect: int | None = 0) -> str:
        """Run a shell script inside the workspace, as the researcher."""
        done = self.run("login", self.workspace, "--member", "p-1", "--", "bash", "-c", script, expect=expect)
        return done.stdout.decode()

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        """Tell a step: what was done, what it proves, how long it took."""
        begun = time.monotonic()
        proofs: list[str] = []
        yield proofs.append
        took = time.monotonic() - begun
        console.print(f"[bold green]✓[/] [bold]{title}[/]  [dim]{took:.1f} s[/]")
        for proof in proofs:
            console.print(f"    {proof}", markup=False)


def lung_data(target: Path) -> int:
    """The NCCTG lung-cancer trial (228 patients), as the package lifelines ships it; how many rows."""
    spec = importlib.util.find_spec("lifelines")
    claim(spec and spec.submodule_search_locations, "the package lifelines is not installed: make setup")
    source = Path(spec.submodule_search_locations[0]) / "datasets" / "lung.csv"  # type: ignore[union-attr,index]  # claimed above
    target.mkdir(mode=0o755)
    shutil.copyfile(source, target / "lung.csv")
    (target / "lung.csv").chmod(0o644)
    return sum(1 for _ in source.open()) - 1


def stamp(instant: datetime) -> str:
    """As permits write instants."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def permit(kid: str, now: datetime, ends_at: datetime) -> dict[str, Any]:
    """A permit for one analyst and one reviewer on the lung data."""
    people = [
        {"person_id": f"p-{n}", "identities": [{"iss": "https://login.example", "sub": f"user-{n}"}], "role": role}
        for n, role in ((1, "pi"), (2, "reviewer"))
    ]
    return {
        "lineage_id": "demo-lineage",
        "version": 1,
        "permit_id": "DEMO-0001-FI",
        "message_id": "demo-message-1",
        "issuer": {"name": "Example HDAB", "country": "FI", "id": ISSUER, "signing_key_id": kid},
        "decision": {"outcome": "GRANTED", "issued_at": stamp(now)},
        "legal_status": "GRANTED",
        "holder": {"sector": "public"},
        "principal_investigator": "p-1",
        "persons": people,
        "purposes": ["e"],
        "datasets": [
            {
                "dataset_id": DATASET_ID,
                "category": "clinical-trial",
                "source": {"holder_name": "NCCTG", "holder_id": "ncctg", "trusted_holder": True, "country": "US"},
                "specification": {"variables": ["time", "status", "age"], "cohort": "all", "geography": ["US"]},
                "format": "text/csv",
                "form": "anonymised",
                "access_mode": "read_only",
            }
        ],
        "validity": {
            "not_before": stamp(now),
            "not_after": stamp(ends_at),
            "retention_until": stamp(ends_at),
            "extension_count": 0,
        },
        "spe": {"provider": "local", "service_id": "local-spe", "backends": ["sandbox"]},
        "conditions": [],
        "fees": [],
    }


def prepare(demo: Demo) -> tuple[str, int]:
    """Keys, installation, data."""
    with demo.step("Keys for an issuer and two approvers") as proves:
        keys = [demo.json("key", "new", name) for name in ("issuer", "anna", "ben")]
        proves(f"the issuer signs with {keys[0]['algorithm']} key {keys[0]['kid'][:16]}…")
    with demo.step("An installation: store, OpenBao over TLS (initialised, unsealed), trust") as proves:
        demo.run(
            "init", "--issuer", f"issuer.pub={ISSUER}=local", "--approver", "anna.pub=anna", "--approver", "ben.pub=ben"
        )
        claim(not (demo.folder / "home/vault/root-token").exists(), "the root token is gone")
        proves("the vault's root token was revoked; the record has its first signed checkpoint")
    with demo.step("Real open data: the NCCTG lung-cancer trial") as proves:
        rows = lung_data(demo.folder / "lung")
        dataset = demo.json("dataset", "add", "lung", "lung", "--dataset-id", DATASET_ID, "--form", "anonymised")
        proves(f"{rows} patients, manifest SHA-256 {dataset['manifest_sha256'][:16]}…")
    return str(keys[0]["kid"]), rows


def provision(demo: Demo, kid: str) -> None:
    """A signed permit becomes a walled workspace; a changed one does not."""
    now = datetime.now(UTC).replace(microsecond=0)
    demo.ends_at = now + timedelta(seconds=LIFE_S)
    (demo.folder / "permit.json").write_text(json.dumps(permit(kid, now, demo.ends_at)))
    signed = demo.run("permit", "sign", "permit.json", "--key", "issuer").stdout
    (demo.folder / "permit.jws").write_bytes(signed)
    with demo.step("A forged permit is refused") as proves:
        forged = json.loads(signed)
        forged["signature"] = forged["signature"][::-1]
        (demo.folder / "forged.jws").write_text(json.dumps(forged))
        verdict = demo.json("permit", "receive", "forged.jws", expect=4)
        claim(not verdict["accepted"], "the forged permit is refused")
        proves(f"{verdict['findings'][0]['rule']}: {verdict['findings'][0]['reason']}")
    with demo.step("The signed permit becomes a walled workspace") as proves:
        view = demo.json("provision", "permit.jws")
        demo.workspace = view["workspace"]
        claim(view["phase"] == "ready", "the workspace is ready")
        attempts = sum(p["attempts"] for p in view["probes"])
        proves(
            f"workspace {demo.workspace}: wall, then probes, then data, then probes, then people ({attempts} probes)"
        )
        for sentence in view["sentences"]:
            proves(f"note: {sentence}")
    demo.children.append(
        subprocess.Popen([str(TRE), "controller", "run"], env=demo.env, cwd=demo.folder, stderr=subprocess.DEVNULL)
    )


def work(demo: Demo, rows: int) -> subprocess.Popen[bytes]:
    """The researcher works; every way out is refused. Returns a session that is still open."""
    with demo.step("A researcher logs in and reads the permitted data") as proves:
        script = "tail -n +2 /data/lung/lung.csv | wc -l; awk -F, 'NR>1{s+=$4} END{print s/(NR-1)}' /data/lung/lung.csv"
        counted, mean_age = demo.inside(script).split()
        claim(int(counted) == rows, "all rows are there")
        proves(f"inside: {counted} patients, mean age {float(mean_age):.1f}")
    with demo.step("Every way out is refused") as proves:
        tried = demo.inside("(echo x >> /data/lung/lung.csv) 2>/dev/null && echo written || echo refused")
        claim(tried.strip() == "refused", "the data is read-only")
        claim(demo.inside("cat /proc/net/dev | tail -n +3 | cut -d: -f1").split() == ["lo"],
              "the only network is the box's own loopback")  # fmt: skip
        probes = demo.json("probe", demo.workspace)
        verdicts = [p["verdict"] for p in probes]
        claim("succeeded" not in verdicts and "inconclusive" not in verdicts, "no probe got through")
        classes = sorted({p["class"] for p in probes if p["verdict"] == "refused"})
        proves(f"{verdicts.count('refused')} attempts refused, each with a positive control: {', '.join(classes)}")
    session = subprocess.Popen(
        [str(TRE), "login", demo.workspace, "--member", "p-1", "--", "bash", "-c", "echo in; sleep 600"],
        env=demo.env, cwd=demo.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    demo.children.append(session)
    claim(session.stdout and session.stdout.readline() == b"in\n", "a second session is open")
    return session


def end(demo: Demo, session: subprocess.Popen[bytes]) -> None:
    """The permit expires: access ends at the instant, and is proved gone."""
    left = (demo.ends_at - datetime.now(UTC)).total_seconds()
    claim(left > 0, f"the permit lasted until here (its {LIFE_S} s were over {-left:.1f} s ago)")
    console.print(f"  [dim]the permit ends in {left:.0f} s; one session is left open on purpose[/]")
    claim(session.poll() is None, "the session lives until the end")
    with demo.step("The permit expires: the open session is cut at that instant") as proves:
        session.wait(timeout=left + 5)
        late = (datetime.now(UTC) - demo.ends_at).total_seconds()
        claim(-0.1 < late < 2, f"the session ended {late:.2f} s after the end")
        said = session.stderr.read().decode() if session.stderr else ""
        claim("reached its end" in said, "the session says why it ended")
        proves(f"{late:.2f} s after the end, by its own supervisor")
    with demo.step("Two seconds later nobody is in, and status says so") as proves:
        time.sleep(max(0.0, 2 - (datetime.now(UTC) - demo.ends_at).total_seconds()))
        view = demo.json("status", demo.workspace)
        claim(view["state"] in ("LOCKED", "DELETION_DUE", "DELETED"), f"the state is {view['state']}")
        claim(not view["sentences"] or "not confirmed" not in view["sentences"][-1], "the lock is confirmed")
        claim(demo.json("session", "list") == [], "no session lives")
        refused = demo.run("login", demo.workspace, "--member", "p-1", "--", "true", expect=4)
        proves(f"a login is refused: {refused.stderr.decode().splitlines()[0].removeprefix('error: ')}")


def prove(demo: Demo) -> None:
    """The certificate and the record, as an auditor sees them."""
    with demo.step("Purged, scanned by another process with rights of its own, certified") as proves:
        limit = time.monotonic() + 20
        while demo.json("status", demo.workspace)["state"] != "DELETED" and time.monotonic() < limit:
            time.sleep(0.2)
        raw = demo.run("certificate", "show", demo.workspace).stdout
        (demo.folder / "certificate.json").write_bytes(raw)
        (demo.folder / "key.pem").write_bytes(demo.run("audit", "keys", "--name", "tre-checkpoint:1").stdout)
        body = demo.json("certificate", "verify", "certificate.json", "--key", "key.pem")
        claim(body["verified"] and body["verified"]["residue"] == [], "the certificate verifies and names no residue")
        gone = [n for step in body["removed"] for n in step["names"]]
        proves(f"removed {len(gone)} things, looked at {len(body['verified']['looked_at'])}, residue none")
        proves(f"credentials dead by {body['credentials_dead'][0]['method']}")
        proves(f"verified by {body['verified']['by']}")
    with demo.step("An auditor verifies with the files and the public key alone") as proves:
        demo.run("audit", "export", "record.jsonl")
        shutil.copyfile(demo.folder / "home/outside/checkpoints", demo.folder / "checkpoints")
        check = ("audit", "verify", "record.jsonl", "--checkpoints", "checkpoints", "--strict",
                 "--key", "tre-checkpoint:1=key.pem")  # fmt: skip
        verdict = demo.json(*check)
        proves(verdict["sentence"])
        changed = re.sub(rb'"p-1"', b'"p-9"', (demo.folder / "record.jsonl").read_bytes(), count=1)
        (demo.folder / "record.jsonl").write_bytes(changed)
        broken = demo.json(*check, expect=8)
        proves(f"one changed byte is found: {broken['sentence']}")
        forged = raw.replace(b'"profile":"local"', b'"profile":"csc"')
        (demo.folder / "certificate.json").write_bytes(forged)
        demo.run("certificate", "verify", "certificate.json", "--key", "key.pem", expect=8)
        proves("a changed certificate does not verify")


def clean_up(demo: Demo) -> None:
    """Stop what was started, whatever happened."""
    for child in demo.children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
    demo.run("vault", "stop", expect=None)


def possible() -> bool:
    """Whether boxes can be made here; else say the one command that root must run."""
    from tre.contracts.driver import CheckDepth, Health
    from tre.controller.clock import SystemClock
    from tre.drivers.sandbox.config import parse
    from tre.drivers.sandbox.driver import SandboxDriver

    class _NoSecrets:
        def fetch(self, *_: object) -> Any:
            raise NotImplementedError

    driver = SandboxDriver(parse({}, Path("/nonexistent")), SystemClock(), _NoSecrets())
    health = driver.check(CheckDepth.CANARY)
    if isinstance(health, Health) and not health.problems:
        return True
    problem = health.problems[0] if isinstance(health, Health) else None
    console.print(f"[bold red]✗[/] {problem.text if problem else 'the backend does not answer'}")
    if problem:
        console.print(f"\nroot must run: {problem.hint}")
    return False


def main() -> int:
    """Run it; 0 only if every claim was checked and held, 3 when this machine lacks something."""
    if not possible():
        return 3
    folder = Path(tempfile.mkdtemp(prefix="tre-demo-"))
    folder.chmod(0o755)
    demo = Demo(folder)
    console.print("[bold]tre[/]: one permit from start to end on this machine\n")
    try:
        kid, rows = prepare(demo)
        provision(demo, kid)
        session = work(demo, rows)
        end(demo, session)
        prove(demo)
    except ClaimFailed as error:
        console.print(f"[bold red]✗ not shown:[/] {error}")
        return 1
    finally:
        clean_up(demo)
        shutil.rmtree(folder, ignore_errors=True)
    console.print(
        f"\nEvery claim above was checked; nothing is left running.  [dim]{time.monotonic() - demo.began:.0f} s[/]"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
