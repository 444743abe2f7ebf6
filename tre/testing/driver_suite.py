"""The driver conformance suite. Each test names the promise it holds a driver to (docs/contracts/driver.md)."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from tre.contracts.driver import CheckDepth, Command, Health, SessionRequest
from tre.contracts.errors import ContractError, Refused
from tre.model.observed import Known, ObservedWorkspace, Unknown
from tre.model.probe import ProbeClass, ProbePlan, Verdict
from tre.model.step import Done, Failed, Part, Step, Verb
from tre.model.workspace import Access
from tre.testing.kit import Bench


class DriverSuite:
    """Subclass it in a driver's test file and give it a fixture ``bench`` (a `Bench`)."""

    # -- look --------------------------------------------------------------------------------------------------------

    def test_d1_observe_changes_nothing(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        first = bench.look()
        assert bench.look() == first
        assert bench.kit.witness.walled(bench.ref)

    def test_d1_observe_of_nothing_makes_nothing(self, bench: Bench) -> None:
        bench.look()
        assert not bench.kit.witness.anything(bench.ref)

    def test_d2_absent_is_known(self, bench: Bench) -> None:
        assert bench.look() == ObservedWorkspace.absent(bench.ref)
        assert bench.look().gone

    def test_d2_unreadable_is_unknown_not_absent(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        if not bench.kit.blind(blind=True):
            return  # this backend has no way to be unreadable; D22's pure half is tested below
        try:
            seen = bench.look()
            assert not seen.gone
            assert any(isinstance(f, Unknown) for f in seen.facets)
        finally:
            bench.kit.blind(blind=False)

    def test_d3_observe_reports_sessions_with_their_ends(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        session = bench.attach(bench.first, "s-look")
        try:
            sessions = bench.look().sessions
            assert isinstance(sessions, Known)
            assert [(s.session, s.slot) for s in sessions.value] == [("s-look", bench.first)]
            assert sessions.value[0].ends_at <= bench.ends_at
        finally:
            session.close()

    def test_d3_half_made_things_are_reported(self, bench: Bench) -> None:
        driver = bench.kit.driver()
        step = driver.plan(bench.desired(Access.WALLED), bench.look())[0]
        assert isinstance(driver.perform([step], bench.fence)[0], Done)
        assert not bench.look().gone

    def test_d4_what_was_asked_is_what_is_seen(self, bench: Bench) -> None:
        desired = bench.desired()
        seen = bench.converge(desired)
        assert seen.wall == Known(desired.wall)
        assert seen.limits == Known(desired.limits)
        assert seen.mounts == Known(tuple(sorted(desired.mounts)))

    def test_d14_inventory_lists_what_bears_our_mark(self, bench: Bench) -> None:
        assert bench.ref not in list(bench.kit.driver().inventory())
        bench.converge(bench.desired(Access.WALLED))
        assert bench.ref in list(bench.kit.driver().inventory())
        bench.remove()
        assert bench.ref not in list(bench.kit.driver().inventory())

    # -- think -------------------------------------------------------------------------------------------------------

    def test_d5_plan_is_pure(self, bench: Bench) -> None:
        desired, seen = bench.desired(), bench.look()
        plans = {bench.kit.driver().plan(desired, seen) for _ in range(5)}
        assert len(plans) == 1
        assert not bench.kit.witness.anything(bench.ref)

    def test_d6_an_empty_plan_means_converged_and_only_that(self, bench: Bench) -> None:
        desired = bench.desired()
        seen = bench.converge(desired)
        driver = bench.kit.driver()
        assert driver.plan(desired, seen) == ()
        for rung in (Access.LOCKED, Access.WALLED, Access.MOUNTED):
            assert driver.plan(bench.desired(rung), seen) != ()
        assert driver.plan(None, seen) != ()

    def test_d6_drift_is_seen_and_mended(self, bench: Bench) -> None:
        desired = bench.desired()
        bench.converge(desired)
        bench.kit.witness.damage_wall(bench.ref)
        driver = bench.kit.driver()
        plan = driver.plan(desired, bench.look())
        assert plan, "a missing wall is not seen"
        assert plan[0].verb is Verb.REMOVE, "a world found without its wall is closed first"
        bench.converge(desired)
        assert bench.kit.witness.walled(bench.ref)

    def test_d7_nobody_is_admitted_before_the_wall(self, bench: Bench) -> None:
        desired = bench.desired()
        for _ in range(4):
            driver = bench.kit.driver()
            for step in driver.plan(desired, bench.look()):
                driver.perform([step], bench.fence)
                if bench.kit.witness.admitted(bench.ref):
                    assert bench.kit.witness.walled(bench.ref), f"admitted without a wall after {step.kind}"

    def test_d7_down_begins_with_people(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        session = bench.attach(bench.first, "s-down")
        plan = bench.kit.driver().plan(bench.desired(Access.LOCKED), bench.look())
        assert [s.part for s in plan] == [Part.PEOPLE, Part.SESSIONS, Part.CREDENTIALS, Part.MOUNTS]
        session.close()

    def test_d22_a_blind_lock_is_complete(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        session = bench.attach(bench.first, "s-blind")
        blind = ObservedWorkspace.unknown(bench.ref, "blind")
        driver = bench.kit.driver()
        plan = driver.plan(replace(bench.desired(Access.LOCKED), members=(), mounts=()), blind)
        assert not any(s.destroys or s.raises for s in plan)
        for step in plan:
            assert isinstance(driver.perform([step], bench.fence)[0], Done), step.kind
        assert bench.kit.witness.inside(bench.ref) == frozenset()
        assert bench.kit.witness.admitted(bench.ref) == frozenset()
        seen = bench.look()
        assert (seen.credentials, seen.mounts) == (Known(()), Known(()))
        session.close()

    def test_d22_nothing_is_destroyed_while_anything_is_unknown(self, bench: Bench) -> None:
        seen = bench.converge(bench.desired())
        names = ("wall", "limits", "mounts", "credentials", "people", "sessions", "storage")
        for unknown in product((True, False), repeat=len(names)):
            if not any(unknown):
                continue
            mixed = replace(seen, **{n: Unknown("?") for n, u in zip(names, unknown, strict=True) if u})  # type: ignore[arg-type]  # every facet may be Unknown
            plan = bench.kit.driver().plan(None, mixed)
            assert plan, unknown
            assert not any(s.destroys for s in plan), unknown

    # -- act ---------------------------------------------------------------------------------------------------------

    def test_d8_every_step_may_be_repeated(self, bench: Bench) -> None:
        driver = bench.kit.driver()
        for target in (bench.desired(), bench.desired(Access.LOCKED), None):
            for _ in range(4):
                for step in driver.plan(target, bench.look()):
                    first, again = driver.perform([step], bench.fence)[0], driver.perform([step], bench.fence)[0]
                    assert isinstance(first, Done), (step.kind, first)
                    assert isinstance(again, Done), (step.kind, again)

    def test_d8_removing_the_absent_succeeds(self, bench: Bench) -> None:
        driver = bench.kit.driver()
        for part in Part:
            outcome = driver.perform([Step(bench.ref, Verb.REMOVE, part)], bench.fence)[0]
            assert isinstance(outcome, Done), (part, outcome)
        assert not bench.kit.witness.anything(bench.ref)

    def test_d9_d19_calls_return_in_time(self, bench: Bench) -> None:
        limit = bench.kit.driver().describe().step_limit_s
        begun = bench.kit.clock.monotonic()
        bench.converge(bench.desired())
        assert bench.kit.clock.monotonic() - begun < limit * 4

    def test_d11_names_follow_from_the_ref(self, bench: Bench) -> None:
        bench.converge(bench.desired(Access.WALLED))
        assert bench.kit.driver().observe([bench.ref])[bench.ref] == bench.look()
        items = [bench.kit.driver().footprint(bench.desired(), bench.canary) for _ in range(2)]
        assert items[0] == items[1]

    def test_d18_a_fresh_driver_goes_on_anywhere(self, bench: Bench) -> None:
        desired = bench.desired()
        total = 0
        for stop_after in range(8):
            bench.remove()
            done = 0
            for _ in range(4):
                for step in bench.kit.driver().plan(desired, bench.look()):
                    if done == stop_after:
                        break
                    bench.kit.driver().perform([step], bench.fence)
                    done += 1
            total = max(total, done)
            bench.converge(desired)
        assert total >= len((Part.WALL, Part.LIMITS, Part.MOUNTS, Part.CREDENTIALS, Part.PEOPLE))

    def test_d25_a_lower_fence_is_refused(self, bench: Bench) -> None:
        driver = bench.kit.driver()
        if driver.describe().fencing == "none":
            return
        bench.fence = 7
        bench.converge(bench.desired(Access.WALLED))
        step = Step(bench.ref, Verb.ENSURE, Part.WALL, bench.desired().wall)
        outcome = driver.perform([step], 6)[0]
        assert isinstance(outcome, Failed)
        assert not outcome.transient

    # -- walls -------------------------------------------------------------------------------------------------------

    def test_probes_of_a_whole_wall_are_refused(self, bench: Bench) -> None:
        bench.converge(bench.desired(Access.MOUNTED))
        classes = frozenset(
            {ProbeClass.NETWORK, ProbeClass.PRIVILEGE, ProbeClass.HOST_PROCESS, ProbeClass.DATASET_WRITE}
        )
        names = tuple(m.name for m in bench.kit.mounts())
        results = bench.kit.driver().probe(bench.ref, bench.canary, ProbePlan(Access.MOUNTED, classes, names))
        assert isinstance(results, tuple)
        assert {r.probe_class for r in results if r.verdict is Verdict.REFUSED} == classes
        assert not [r for r in results if r.verdict in (Verdict.SUCCEEDED, Verdict.INCONCLUSIVE)]

    def test_d1_the_canary_leaves_no_session(self, bench: Bench) -> None:
        bench.converge(bench.desired(Access.WALLED))
        before = bench.look()
        bench.kit.driver().probe(bench.ref, bench.canary, ProbePlan(Access.WALLED, frozenset({ProbeClass.PRIVILEGE})))
        assert bench.look().sessions == before.sessions == Known(())
        assert bench.kit.witness.inside(bench.ref) == frozenset()

    def test_a_probe_without_a_wall_is_no_answer(self, bench: Bench) -> None:
        plan = ProbePlan(Access.WALLED, frozenset({ProbeClass.NETWORK}))
        with pytest.raises(ContractError):
            bench.kit.driver().probe(bench.ref, bench.canary, plan)

    def test_knocks_after_a_lock_are_refused(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        plan = ProbePlan(Access.LOCKED, frozenset({ProbeClass.LOGIN}), slots=(bench.first, bench.second))
        before = bench.kit.driver().probe(bench.ref, bench.canary, plan)
        assert isinstance(before, tuple)
        assert any(r.verdict is Verdict.SUCCEEDED for r in before), "a knock on an open door must be answered"
        bench.converge(bench.desired(Access.LOCKED))
        after = bench.kit.driver().probe(bench.ref, bench.canary, plan)
        assert isinstance(after, tuple)
        assert {r.verdict for r in after} == {Verdict.REFUSED}

    # -- own ---------------------------------------------------------------------------------------------------------

    def test_d13_a_stranger_under_our_name_is_never_touched(self, bench: Bench) -> None:
        bench.kit.witness.plant_stranger(bench.ref)
        driver = bench.kit.driver()
        assert not bench.look().gone
        for target in (bench.desired(), bench.desired(Access.LOCKED), None):
            for step in driver.plan(target, bench.look()):
                outcome = driver.perform([step], bench.fence)[0]
                assert isinstance(outcome, Failed), step.kind
        assert bench.kit.witness.stranger_intact(bench.ref)

    # -- sessions ----------------------------------------------------------------------------------------------------

    def test_d24_attach_is_admitted_by_the_far_side(self, bench: Bench) -> None:
        request = SessionRequest("s-x", bench.first, bench.ends_at, 60, Command(("/bin/true",)))
        for rung in (Access.WALLED, Access.MOUNTED, Access.LOCKED):
            bench.converge(bench.desired(rung))
            with pytest.raises(Refused):
                bench.kit.driver().attach(bench.ref, request)
        bench.converge(bench.desired(slots=(bench.second,)))
        with pytest.raises(Refused):
            bench.kit.driver().attach(bench.ref, request)

    def test_d24_no_attach_after_the_lock(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        driver = bench.kit.driver()
        plan = driver.plan(bench.desired(Access.LOCKED), bench.look())
        driver.perform([plan[0]], bench.fence)
        with pytest.raises(Refused):
            bench.attach(bench.first, "s-late")

    def test_lock_ends_sessions(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        session = bench.attach(bench.first, "s-locked")
        assert bench.kit.witness.inside(bench.ref) == {"s-locked"}
        bench.converge(bench.desired(Access.LOCKED))
        assert bench.kit.witness.inside(bench.ref) == frozenset()
        session.close()

    def test_a_removed_member_goes_and_the_others_stay(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        goes, stays = bench.attach(bench.first, "s-goes"), bench.attach(bench.second, "s-stays")
        bench.converge(bench.desired(slots=(bench.second,)))
        assert bench.kit.witness.inside(bench.ref) == {"s-stays"}
        assert bench.kit.witness.admitted(bench.ref) == {bench.second}
        goes.close()
        stays.close()

    def test_a_removed_dataset_ends_the_sessions_that_have_it(self, bench: Bench) -> None:
        one, two = bench.kit.mounts()
        bench.converge(bench.desired(mounts=(one,)))
        only_one = bench.attach(bench.first, "s-one")
        bench.converge(bench.desired(mounts=(one, two)))
        assert bench.kit.witness.inside(bench.ref) == {"s-one"}, "an added dataset ends nobody's session"
        both = bench.attach(bench.second, "s-both")
        bench.converge(bench.desired(mounts=(one,)))
        assert bench.kit.witness.inside(bench.ref) == {"s-one"}
        only_one.close()
        both.close()

    def test_a_longer_end_ends_nobody(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        session = bench.attach(bench.first, "s-renewed")
        bench.converge(bench.desired(ends_at=bench.ends_at + timedelta(hours=1)))
        assert bench.kit.witness.inside(bench.ref) == {"s-renewed"}
        session.close()

    def test_d21_sessions_end_at_their_end_without_us(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        soon = bench.kit.clock.now() + timedelta(seconds=2)
        session = bench.attach(bench.first, "s-ends", ends_at=soon)
        assert bench.kit.witness.inside(bench.ref) == {"s-ends"}
        bench.kit.wait(3.5)
        assert bench.kit.witness.inside(bench.ref) == frozenset()
        session.close()

    def test_d21_no_session_outlives_the_wall(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        session = bench.attach(bench.first, "s-late", ends_at=bench.ends_at + timedelta(days=1))
        assert session.ends_at <= bench.ends_at
        session.close()

    # -- leave -------------------------------------------------------------------------------------------------------

    def test_d20_removal_is_seen_by_the_next_look(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        session = bench.attach(bench.first, "s-purged")
        bench.remove()
        assert bench.look().gone
        assert not bench.kit.witness.anything(bench.ref)
        session.close()

    def test_d23_a_lock_goes_on_after_a_failure(self, bench: Bench) -> None:
        bench.converge(bench.desired())
        found = bench.outcomes(bench.desired(Access.LOCKED))
        assert [name for name, _ in found] == ["remove people", "remove credentials", "remove mounts"]
        assert all(isinstance(o, Done) for _, o in found)

    # -- hygiene -----------------------------------------------------------------------------------------------------

    def test_d16_no_secret_in_facts(self, bench: Bench) -> None:
        seen = bench.converge(bench.desired())
        assert bench.kit.secret not in repr(seen)
        assert not bench.kit.witness.secrets_in_facts(bench.ref, bench.kit.secret)

    def test_d17_health_is_within_what_is_described(self, bench: Bench) -> None:
        health = bench.kit.driver().check(CheckDepth.CANARY)
        assert isinstance(health, Health)
        assert health.capabilities <= bench.kit.driver().describe().capabilities

    def test_d15_errors_are_of_the_contract(self, bench: Bench) -> None:
        outcome = bench.kit.driver().perform([Step(bench.ref, Verb.ENSURE, Part.PEOPLE, ())], bench.fence)[0]
        assert isinstance(outcome, Failed)
        assert "\n" not in outcome.reason
