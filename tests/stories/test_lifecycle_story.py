"""Stories of one permit, through operations and controller, on memory twins."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from permits import stamp
from rig import KEY, Rig

from tre.audit.certificate import verify as verify_certificate
from tre.audit.export import export, verify
from tre.contracts.driver import Terminal
from tre.contracts.errors import ContractError
from tre.model.facts import Certificate, Expired, Purged
from tre.model.order import OrderKind
from tre.operations.desk import Denied, NeedsApproval
from tre.operations.orders import Place

TERMINAL = Terminal(24, 80)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def ready(rig: Rig) -> Rig:
    rig.provision()
    rig.settle()
    assert rig.conditions()["Ready"] == ("True", "AsDesired"), rig.conditions()
    return rig


def live(rig: Rig) -> set[str]:
    """Sessions that live in the world now."""
    seen = rig.driver.observe([rig.file().workspace.ref])[rig.file().workspace.ref].sessions
    return {s.session for s in seen.value}


def shut(rig: Rig) -> None:
    """Nobody is in, nobody gets in, no credential lives."""
    thing = rig.thing()
    assert not json.loads(thing.get("people", "[]"))
    assert not json.loads(thing.get("credentials", "[]"))
    assert not json.loads(thing.get("mounts", "[]"))
    assert live(rig) == set()
    file = rig.folder / "vault.json"
    assert "enabled" not in (json.loads(file.read_text())["entities"].values() if file.exists() else ())
    with pytest.raises(Denied):
        rig.sessions.open(rig.file().workspace.ref.workspace, "p-1", TERMINAL)


def later(rig: Rig, **days: float) -> str:
    return stamp(rig.clock.now() + timedelta(**days))


def test_from_permit_to_certificate(rig: Rig) -> None:
    ready(rig)
    opened = rig.sessions.open("lineage-1", "p-1", TERMINAL)
    assert opened.session.session in live(rig)
    rig.clock.advance(30 * 86400 - 3600)
    rig.settle()
    rig.clock.advance(3601)
    rig.settle()
    assert live(rig) == set()
    assert rig.thing() == {}
    with rig.store.read() as reader:
        assert len(reader.facts(Expired)) == 1
        purged = reader.facts(Purged)[0]
        raw = reader.blob(purged.certificate_digest)
        lines = list(export("a" * 16, reader.lines(), reader.checkpoints(), rig.signer.public_keys()))
        assert reader.facts(Certificate)[0].digest == purged.certificate_digest
    body = verify_certificate(raw or b"", rig.signer.public_keys()["test:1"])
    assert body["verified"]["residue"] == []
    assert body["removed"]
    assert verify(lines).problem is None


def test_the_same_permit_again_has_no_effect(rig: Rig) -> None:
    ready(rig)
    again = rig.receive()
    assert again.accepted
    assert again.repeated
    file, new = rig.orders.provision(KEY, Place("memory", "local", "host", "0"))
    assert not new
    assert file.workspace == rig.file().workspace


def test_a_revocation_locks_and_absorbs(rig: Rig) -> None:
    ready(rig)
    assert rig.say().accepted
    rig.settle()
    assert rig.thing() == {}
    higher = rig.receive(version=2, permit_id="n-2", message_id="m-2", legal_status="AMENDED")
    assert not higher.accepted
    assert {f.rule for f in higher.findings} == {"V-20"}
    lift = rig.say(status="LIFTED", sequence=9, message_id="m-9")
    rig.settle()
    assert lift.accepted
    assert rig.thing() == {}


def test_a_revocation_that_arrives_first_is_remembered(rig: Rig) -> None:
    assert rig.say().accepted
    received = rig.receive()
    assert not received.accepted
    assert [f.rule for f in received.findings] == ["V-20"]


def test_the_issuers_suspension_and_its_lift(rig: Rig) -> None:
    ready(rig)
    rig.say(status="SUSPENDED", sequence=2, message_id="m-2")
    rig.settle()
    shut(rig)
    rig.say(status="LIFTED", sequence=1, message_id="m-1")
    rig.settle()
    shut(rig)
    with pytest.raises(Denied):
        rig.orders.resume("lineage-1", "we would like to")
    rig.say(status="LIFTED", sequence=3, message_id="m-3")
    rig.settle()
    assert rig.conditions()["Ready"][0] == "True"


def test_suspend_locks_and_two_people_resume_with_new_credentials(rig: Rig) -> None:
    ready(rig)
    before = rig.file().epochs.all_live()
    rig.orders.suspend("lineage-1", "a look is needed")
    rig.settle()
    shut(rig)
    assert rig.conditions()["Locked"] == ("True", "LockProved")
    rig.approve(lambda: rig.orders.resume("lineage-1", "looked"))
    rig.settle()
    assert rig.conditions()["Ready"][0] == "True"
    after = rig.file().epochs.all_live()
    assert {e.slot for e in before} == {e.slot for e in after}
    assert not {(e.slot, e.epoch) for e in before} & {(e.slot, e.epoch) for e in after}


def test_two_person_rules(rig: Rig) -> None:
    ready(rig)
    with pytest.raises(NeedsApproval) as needed:
        rig.orders.close("lineage-1", "done")
    request = needed.value.request
    rig.state(request, "anna")
    with pytest.raises(Denied, match="already"):
        rig.state(request, "anna")
    with pytest.raises(Denied, match="another content"):
        rig.state(request, "ben", content_digest="0" * 64)
    with pytest.raises(Denied, match="another person"):
        rig.state(request, "ben", approver="carl")
    rig.settle()
    assert rig.conditions()["Ready"][0] == "True", "one yes is not enough"
    rig.clock.advance(8 * 86400)
    with pytest.raises(Denied, match="expired"):
        rig.state(request, "ben")
    with pytest.raises(NeedsApproval) as again:
        rig.orders.close("lineage-1", "done")
    rig.state(again.value.request, "anna")
    rig.state(again.value.request, "ben", approves=False)
    with pytest.raises(Denied, match="settled"):
        rig.state(again.value.request, "carl")


def test_the_requester_cannot_approve(rig: Rig) -> None:
    ready(rig)
    desk = type(rig.desk)(rig.store, rig.clock, rig.dossier, "a" * 16, "anna", rig.new_id)
    rig.orders._desk = desk
    rig.approvals._desk = desk
    with pytest.raises(NeedsApproval) as needed:
        rig.orders.close("lineage-1", "done")
    with pytest.raises(Denied, match="requester"):
        rig.state(needed.value.request, "anna")


def test_close_purges_and_a_new_generation_may_follow(rig: Rig) -> None:
    ready(rig)
    first = rig.file().workspace.ref
    rig.approve(lambda: rig.orders.close(first.workspace, "done"))
    rig.settle()
    assert rig.thing() == {}
    file, new = rig.orders.provision(KEY, Place("memory", "local", "host", "0"))
    assert new
    assert file.workspace.ref.generation == first.generation + 1
    rig.settle()
    assert rig.conditions()["Ready"][0] == "True"
    with rig.store.read() as reader:
        old = rig.dossier.workspace(reader, first.workspace)
    assert old is not None
    assert file.workspace.canary_slot not in {m.slot for m in old.members}, "slots are never used again"


def test_a_removed_member_goes_and_the_others_stay(rig: Rig) -> None:
    ready(rig)
    gone = rig.sessions.open("lineage-1", "p-1", TERMINAL)
    stays = rig.sessions.open("lineage-1", "p-2", TERMINAL)
    rig.orders.remove_member("lineage-1", "p-1", "left the project")
    rig.settle()
    assert live(rig) == {stays.session.session}
    with pytest.raises(Denied):
        rig.sessions.open("lineage-1", "p-1", TERMINAL)
    assert gone.session.receive(0) is not None


def test_an_amendment_removes_a_person(rig: Rig) -> None:
    ready(rig)
    from permits import payload

    one = payload(rig.keys["issuer"].kid)["persons"][:1]
    assert rig.receive(version=2, permit_id="n-2", message_id="m-2", legal_status="AMENDED", persons=one).accepted
    rig.settle()
    assert [p for p, _ in rig.file().permitted(rig.clock.now())] == ["p-1"]
    assert len(json.loads(rig.thing()["people"])) == 1


def test_a_restart_renews_one_members_credentials(rig: Rig) -> None:
    ready(rig)
    before = {e.slot: e.epoch for e in rig.file().epochs.all_live()}
    stays = rig.sessions.open("lineage-1", "p-2", TERMINAL)
    rig.sessions.open("lineage-1", "p-1", TERMINAL)
    rig.clock.advance(1)
    rig.orders.restart_member("lineage-1", "p-1", "a lost laptop")
    rig.settle()
    assert live(rig) == {stays.session.session}
    after = {e.slot: e.epoch for e in rig.file().epochs.all_live()}
    slot = rig.file().slot_of("p-1")
    assert after[slot] > before[slot]
    assert rig.conditions()["Ready"][0] == "True"


def test_a_hold_stops_the_purge_and_gives_no_access(rig: Rig) -> None:
    ready(rig)
    hold = rig.orders.hold("lineage-1", "evidence", rig.clock.now() + timedelta(days=30))
    rig.clock.advance(31 * 86400)
    rig.settle()
    shut(rig)
    assert rig.thing().get("storage"), "what is held stays"
    assert rig.conditions()["Closing"] == ("True", "Held")
    rig.approve(lambda: rig.orders.release(hold.order, "the matter is closed"))
    rig.settle()
    assert rig.thing() == {}


def test_a_probe_that_got_through_suspends_and_holds(rig: Rig) -> None:
    rig.world.turn("hole", "network")
    rig.provision()
    rig.settle()
    shut(rig)
    kinds = [o.kind for o in rig.file().permit.lineage.orders]
    assert kinds == [OrderKind.SUSPEND, OrderKind.HOLD]
    assert "mounts" not in rig.thing(), "no data was ever mounted"


def test_an_inconclusive_probe_is_never_ready(rig: Rig) -> None:
    rig.world.turn("inconclusive", "privilege")
    rig.provision()
    rig.settle()
    assert rig.conditions()["Ready"][0] == "False"
    assert "mounts" not in rig.thing()
    assert "people" not in rig.thing()


def test_stale_proofs_lower_access(rig: Rig) -> None:
    ready(rig)
    rig.world.turn("inconclusive", "network")
    rig.sessions.open("lineage-1", "p-1", TERMINAL)
    rig.clock.advance(2 * 3600)
    rig.settle()
    assert live(rig) == set()
    assert not json.loads(rig.thing().get("people", "[]"))
    rig.world.turn("inconclusive", None)
    rig.clock.advance(20)
    rig.settle()
    assert rig.conditions()["Ready"][0] == "True", "it climbs back by itself once proved"


def test_changed_data_keeps_everyone_out(rig: Rig) -> None:
    ready(rig)
    rig.sessions.open("lineage-1", "p-1", TERMINAL)
    (rig.folder / "data-changed").touch()
    rig.clock.advance(301)
    rig.settle()
    assert live(rig) == set()
    assert rig.conditions()["Ready"] == ("False", "DatasetMismatch")


def test_a_sealed_vault_grants_nothing_and_stops_no_lock(rig: Rig) -> None:
    rig.provision()
    rig.authority.seal(sealed=True)
    rig.settle()
    assert not json.loads(rig.thing().get("people", "[]"))
    rig.authority.seal(sealed=False)
    rig.settle()
    assert rig.conditions()["Ready"][0] == "True"
    rig.sessions.open("lineage-1", "p-1", TERMINAL)
    rig.authority.seal(sealed=True)
    rig.orders.suspend("lineage-1", "now")
    rig.settle()
    assert live(rig) == set()
    assert rig.conditions()["Locked"] == ("Unknown", "CredentialsPending")
    rig.authority.seal(sealed=False)
    rig.clock.advance(10)
    rig.settle()
    assert rig.conditions()["Locked"] == ("True", "LockProved")


def test_a_backend_that_is_out_does_not_lose_the_end(rig: Rig) -> None:
    ready(rig)
    rig.world.turn("outage", "no route")
    rig.clock.advance(31 * 86400)
    rig.settle()
    assert rig.conditions()["Locked"][0] != "True"
    rig.world.turn("outage", None)
    rig.clock.advance(10)
    rig.settle()
    assert rig.thing() == {}


def test_a_lost_answer_is_looked_up_not_repeated_blindly(rig: Rig) -> None:
    rig.world.turn("lose-answer", "ensure wall")
    rig.provision()
    rig.settle()
    assert rig.conditions()["Ready"][0] == "True"


@pytest.mark.parametrize("seconds", [7200, -7200, 86400 * 365])
def test_a_clock_that_jumps_grants_nothing_and_expires_nothing(rig: Rig, seconds: float) -> None:
    ready(rig)
    rig.clock.jump(seconds)
    rig.settle()
    shut_now = json.loads(rig.thing().get("people", "[]"))
    assert shut_now == []
    with rig.store.read() as reader:
        assert reader.facts(Expired) == ()
        assert reader.facts(Purged) == ()
    rig.clock.jump(-seconds)
    rig.clock.advance(5)
    rig.settle()
    assert rig.conditions()["Ready"][0] == "True"


def test_a_compromised_key_suspends_what_it_signed(rig: Rig) -> None:
    ready(rig)
    rig.trust.revoke(rig.keys["issuer"].kid, rig.clock.now() - timedelta(days=1))
    rig.settle()
    shut(rig)
    assert rig.file().standing(rig.clock.now()).state.value == "SUSPENDED"


def test_a_missing_capability_is_refused_before_any_effect(rig: Rig) -> None:
    rig.driver._capabilities = frozenset({"network-deny-all", "read-only-mount"})
    rig.provision()
    rig.settle()
    assert rig.thing() == {}
    assert rig.conditions()["Ready"] == ("False", "CapabilityMissing")


def test_an_issuer_trusted_for_local_gets_nothing_else(rig: Rig) -> None:
    rig.provision(profile="csc")
    rig.settle()
    assert rig.conditions()["Ready"] == ("False", "PolicyDenied")
    assert rig.thing() == {}


def test_an_unenforceable_condition_waits_for_a_sign_off(rig: Rig) -> None:
    conditions = [{"code": "talk-to-us", "text": "call before publishing", "enforceable": False}]
    assert rig.receive(conditions=conditions).accepted
    rig.orders.provision(KEY, Place("memory", "local", "host", "0"))
    rig.settle()
    assert rig.conditions()["Ready"] == ("False", "PermitPending")
    rig.intake.sign_off("lineage-1", "talk-to-us")
    rig.settle()
    assert rig.conditions()["Ready"][0] == "True"


def test_two_controllers_one_works(rig: Rig, tmp_path: Path) -> None:
    rig.provision()
    other = Rig(tmp_path)
    assert rig.leader.try_take()
    assert not other.leader.try_take()
    with pytest.raises(ContractError, match="leads"):
        other.controller.settle(None, 1)
    rig.clock.advance(9)
    other.settle()
    assert other.conditions()["Ready"][0] == "True"
    with pytest.raises(ContractError):
        rig.ports.effects.carry_out([_up(rig)], lambda _: None, lambda _f: ())


def _up(rig: Rig):  # noqa: ANN202
    from tre.contracts.store import Direction, Intent

    return Intent(rig.file().workspace.ref, "ensure wall", Direction.UP)


def test_a_restored_old_backup_revives_nothing(rig: Rig, tmp_path: Path) -> None:
    ready(rig)
    rig.store.backup(tmp_path / "backup.db")
    rig.say()
    rig.settle()
    assert rig.thing() == {}
    rig.store.close()
    for name in ("tre.db-wal", "tre.db-shm"):
        (tmp_path / "s" / name).unlink(missing_ok=True)
    (tmp_path / "s" / "tre.db").write_bytes((tmp_path / "backup.db").read_bytes())
    old = Rig(tmp_path)
    assert old.store.in_recovery()
    old.settle()
    assert old.thing() == {}, "nothing is given in recovery"
    assert old.store.reconcile("operator:test") > 0
    old.settle()
    assert old.thing() == {}
    assert old.file().standing(old.clock.now()).over
    assert not old.receive(version=2, permit_id="n", message_id="n", legal_status="AMENDED").accepted


def test_an_orphan_is_locked_and_not_purged(rig: Rig, tmp_path: Path) -> None:
    ready(rig)
    session = rig.sessions.open("lineage-1", "p-1", TERMINAL)
    (tmp_path / "s").rename(tmp_path / "lost")
    (tmp_path / "outside.log").rename(tmp_path / "lost.log")
    fresh = Rig(tmp_path)
    fresh.leader.take()
    orphans = fresh.controller._sweeps.lock_orphans()
    assert len(orphans) == 1
    things = json.loads((tmp_path / "world.json").read_text())["things"]
    (thing,) = things.values()
    assert "people" not in thing
    assert thing["storage"]
    assert session.session.receive(0) is not None
