"""Two enterprises through all phases of the pilot: requests over HTTP, and real calls at each step.

The rules' time is simulated (2025 to 2028); bindings, quarantine and the calls themselves keep real time.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api_tools import Api, Tenant, wait_for
from qibai.config import BindingConfig, PilotConfig
from qibai.core.events import CallEventKind
from qibai.core.numbering import Msisdn, Number700
from qibai.core.pilot import BEIJING
from qibai.testing.clock import Clock
from qibai.testing.sipp import Scenario
from voice_tools import A, B, Bench, answering, bench, calling

pytestmark = pytest.mark.voice

PILOT = PilotConfig(notice="2025-07-15", grace_s=3 * 86_400, code_quarantine_days=30)
C, D = Msisdn("+8613711112222"), Msisdn("+8613722221111")
OTHER = {A: B, B: A, C: D, D: C}


@dataclass
class World:
    """The platform, its two operators, and a clock that the story turns."""

    api: Api
    voice: Bench
    clock: Clock
    operator: Tenant
    second: Tenant

    def at(self, beijing: str) -> None:
        """It is a second after this time in Beijing for the rules, in every process.

        Not the time itself: a worker knows the database's clock but for the time that the answer took. The
        database would refuse what is past a rule's edge; it cannot know that the rules' time has jumped.
        """
        named = datetime.fromisoformat(beijing).replace(tzinfo=BEIJING).timestamp()
        self.clock.set(named + 1, time.time())

    def admin(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = self.api.call(self.operator, "POST", f"/v1/admin/{path}", body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def bind(self, who: Tenant, a: Msisdn, b: Msisdn, **more: Any) -> dict[str, Any]:
        return self.api.bind(who, mode="AXB", a=a.e164, b=b.e164, **more)

    def refused(self, who: Tenant, rule: str) -> None:
        """A bind is refused by this rule."""
        body = {"mode": "AXB", "a": A.e164, "b": B.e164, "order_id": "refused"}
        answer = self.api.call(who, "POST", "/v1/bindings", body)
        found = answer.json()
        assert (answer.status_code, found.get("rule") or found["code"]) in ((403, rule), (409, rule)), found

    def connects(self, x: str, a: Msisdn, b: Msisdn) -> None:
        """A real call: A dials X, B answers and sees X alone, A hangs up."""
        seen = self.voice.call(
            calling(a, Number700.parse(x)).pause(30).request("BYE").expect(200),
            answering(b).expect_request("BYE").reply(200),
            parties=(a, b),
        )
        assert f"From: <sip:{x}@" in seen.callee[0]

    def call_refused(self, x: str, a: Msisdn, rule: str, status: int = 403) -> None:
        """A real call is refused with a Reason, and its record names the rule."""
        scenario = Scenario(a.national).invite(x).expect(100, optional=True).expect(status).fail_ack(x)
        seen = self.voice.call(scenario, None, parties=(a, OTHER[a]))
        assert "Reason: Q.850;cause=" in seen.caller[-1]
        events = self.voice.events(CallEventKind.DECIDED, Number700.parse(x))
        assert max(events, key=lambda event: event.at).reason == rule

    def papers(self, platform: str, number: str, first: str, last: str, *kinds: str) -> None:
        for kind in kinds:
            body = {"platform": platform, "provinces": ["44", "31"], "first_day": first, "last_day": last}
            self.admin(kind, 201, number=f"{number}-{kind}", **body)

    def revoke(self, number: str, why: str) -> None:
        """One operator asks, the other approves, the first does it."""
        refused = self.admin("approvals/revoke", 403, number=number, why=why)
        assert refused["code"] == "second_person_required"
        (asked,) = self.api.call(self.second, "GET", "/v1/admin/requests").json()
        approve = f"/v1/admin/requests/{asked['id']}/approve"
        assert self.api.call(self.operator, "POST", approve).json()["code"] == "same_person"
        assert self.api.call(self.second, "POST", approve).status_code == 200
        self.admin("approvals/revoke", number=number, why=why)

    def applies(self, platform: str, kind: str = "initial") -> int:
        id: int = self.admin("applications", 201, platform=platform, kind=kind)["id"]
        self.admin(f"applications/{id}/steps", to="submitted")
        return id

    def granted(self, id: int, **outcome: Any) -> None:
        """Accepted, and granted with what comes of it."""
        self.admin(f"applications/{id}/steps", to="accepted")
        said = self.admin(f"applications/{id}/steps", to="granted", outcome=outcome)
        assert said["state"] == "granted"

    def codes(self, codes: str, certificate: str, tenant: str) -> None:
        """Assigned, opened by the carrier, given to the tenant."""
        self.admin("codes/assign", codes=[codes], certificate=certificate)
        self.admin("codes/open", codes=[codes], provinces=["44"])
        self.admin("codes/give", codes=[codes], tenant=tenant)


@pytest.fixture
def world(tmp_path: Path, database: Callable[[], str]) -> Iterator[World]:
    dsn = database()
    clock = Clock(tmp_path / "clock")
    with bench(tmp_path, lambda: dsn, pilot=PILOT, clock=clock.path) as voice:
        api = Api(tmp_path / "home", dsn, clock=clock.path)
        api.config = msgspec.structs.replace(api.config, pilot=PILOT, binding=BindingConfig(quarantine_s=1))
        try:
            yield World(api.start(), voice, clock, api.operator(), api.operator("zhou"))
        finally:
            api.stop()


def test_two_enterprises_from_the_notice_to_the_pilots_end(world: World) -> None:
    shop, mart = world.api.tenant("shop"), world.api.tenant("mart")
    for platform, tenant in (("east", "shop"), ("west", "mart")):
        world.admin("platforms", 201, name=platform)
        world.admin("platforms/tenants", platform=platform, tenant=tenant)

    # Preparation: carriers open codes; nothing is bound yet, and nothing 700 is connected.
    world.at("2025-10-14T23:00:00")
    world.papers("east", "E", "2025-10-15", "2026-12-31", "certificates")
    world.codes("70011111111", "E-certificates", "shop")
    world.refused(shop, "pilot_not_open")
    early = Number700.parse("700111111119999")
    world.voice.bind(early, C, D)
    world.call_refused(str(early), C, "pilot_not_open")

    # Transition: who has applied may serve; east applies, west does not.
    world.at("2025-10-15T00:00:00")
    world.papers("west", "W", "2025-10-15", "2026-12-31", "certificates")
    world.codes("70022222222", "W-certificates", "mart")
    world.refused(shop, "pilot_not_applied")
    application = world.applies("east")
    one = world.bind(shop, A, B)
    world.connects(one["x"], A, B)
    world.refused(mart, "pilot_not_applied")
    west = world.applies("west")
    world.admin(f"applications/{west}/steps", to="accepted")
    two = world.bind(mart, C, D)
    world.connects(two["x"], C, D)
    world.admin(f"applications/{west}/steps", to="refused", reason="no network plan")
    world.refused(mart, "pilot_not_applied")
    world.call_refused(two["x"], C, "pilot_not_applied")

    # Formal pilot: an application is not enough any more. East is granted, west a little later.
    world.at("2026-01-15T00:00:00")
    world.refused(shop, "pilot_not_approved")
    world.call_refused(one["x"], A, "pilot_not_approved")
    days = {"first_day": "2026-01-15", "last_day": "2026-12-31"}
    world.granted(application, approval="E-approvals", provinces=["44", "31"], **days)
    world.connects(one["x"], A, B)
    world.admin(f"applications/{west}/steps", to="drafted")
    world.admin(f"applications/{west}/steps", to="submitted")
    world.granted(west)
    world.papers("west", "W", "2026-01-15", "2027-12-31", "approvals")
    world.connects(two["x"], C, D)

    # East supplements its codes; a carrier fails, and its codes are set aside without touching a binding.
    world.at("2026-03-01T12:00:00")
    more = {"certificate": "E-certificates", "codes": ["70011111112"]}
    world.granted(world.applies("east", "supplement"), **more)
    world.admin("codes/open", codes=["70011111112"], provinces=["44"])
    world.admin("codes/give", codes=["70011111112"], tenant="shop")
    world.admin("codes/set-aside", carrier=1, why="the carrier does not carry it")
    world.refused(shop, "code_locked")
    world.connects(one["x"], A, B)
    world.admin("codes/restore", carrier=1)
    world.admin("codes/give", 409, codes=["70011111112"], tenant="mart")  # numbers are not handed on
    three = world.bind(shop, B, A)
    world.connects(three["x"], B, A)

    # A complaint: one number is locked, calls too; then the complaint is settled.
    world.admin("locks", 201, number=three["x"], why="a complaint", stops_calls=True)
    world.call_refused(three["x"], B, "number_locked")
    world.admin("locks/release", number=three["x"])
    world.connects(three["x"], B, A)

    # West leaves early: nothing new, what is bound is served to its end, then the code goes back and rests.
    world.at("2026-06-01T00:00:00")
    world.granted(world.applies("west", "early_exit"), exit_at="2026-06-10T00:00:00+08:00")
    four = world.bind(mart, D, C)
    world.at("2026-06-10T00:00:00")
    world.refused(mart, "pilot_exited")
    world.connects(two["x"], C, D)
    world.connects(four["x"], D, C)
    world.admin("codes/drain", codes=["70022222222"])
    world.connects(two["x"], C, D)
    world.admin("codes/return", 409, codes=["70022222222"])
    for binding in (two, four):
        assert world.api.call(mart, "DELETE", f"/v1/bindings/{binding['id']}").status_code == 200
    world.call_refused(two["x"], C, "order_ended", 410)
    wait_for(lambda: _returned(world, "70022222222"))
    world.refused(mart, "no_codes")
    world.admin("codes/assign", 409, codes=["70022222222"], certificate="E-certificates")
    world.at("2026-07-10T00:01:00")
    world.codes("70022222222", "E-certificates", "shop")
    five = world.bind(shop, C, D, x="700222222220001")
    world.connects(five["x"], C, D)

    # East's papers end: binds stop at midnight, calls three days later; then east renews.
    world.at("2026-12-31T23:00:00")
    world.connects(one["x"], A, B)
    world.at("2027-01-01T00:00:00")
    world.refused(shop, "pilot_not_approved")
    world.connects(one["x"], A, B)
    world.at("2027-01-04T00:00:00")
    world.call_refused(one["x"], A, "pilot_not_approved")
    world.granted(world.applies("east", "renewal"), approval="E-approvals", last_day="2028-12-31")
    world.refused(shop, "certificate_invalid")
    world.call_refused(one["x"], A, "certificate_invalid")
    world.admin("certificates/renew", number="E-certificates", last_day="2028-12-31")
    world.connects(one["x"], A, B)
    world.connects(world.bind(shop, D, C)["x"], D, C)

    # Revoked: no bind from then on, calls end after the grace.
    world.at("2027-06-01T00:00:00")
    world.revoke("E-approvals", "calls that nobody ordered")
    world.refused(shop, "approval_revoked")
    world.connects(one["x"], A, B)
    world.at("2027-06-04T00:01:00")
    world.call_refused(one["x"], A, "approval_revoked")

    # Approved once more; but the pilot ends for everyone.
    world.papers("east", "E2", "2027-06-04", "2028-12-31", "approvals")
    world.connects(one["x"], A, B)
    world.at("2028-01-15T00:00:00")
    world.refused(shop, "pilot_ended")
    world.call_refused(one["x"], A, "pilot_ended")


def _returned(world: World, code: str) -> bool:
    """The quarantine of a second is over and the code could be returned."""
    answer = world.api.call(world.operator, "POST", "/v1/admin/codes/return", {"codes": [code]})
    assert answer.status_code in (200, 409), answer.text
    return answer.status_code == 200
