"""Cases in every state, and the pack that they live under."""

import datetime as dt
from dataclasses import replace

import pytest

from services.inquiry.domain.case import Case
from services.inquiry.domain.clock import first_clock
from services.inquiry.domain.states import Holding, Stage, State
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from tests.paths import REPO

NOW = dt.datetime(2026, 11, 24, 1, 30, tzinfo=dt.UTC)
LEAD = "yunxi-urban"


@pytest.fixture(scope="session")
def pack() -> Pack:
    return load_pack(REPO / "policies" / "cn-city")


@pytest.fixture(scope="session")
def cases(pack: Pack) -> dict[State, Case]:
    """One case for each state."""
    clock = first_clock(pack, "help", "municipal-street-light", False, NOW)
    received = Case(
        "01a20b2c-91c0-7c67-9a20-a6e7b3f9afce",
        Stage.RECEIVED,
        "help",
        "municipal-street-light",
    )
    accepted = replace(received, stage=Stage.ACCEPTED, policy_version=pack.version, clock=clock)
    held = replace(accepted, holding=Holding.SIGNED, lead=LEAD, co=("transport",), attempt=1)
    return {
        State.UNKNOWN: Case(received.id),
        State.RECEIVED: received,
        State.ACCEPTED: accepted,
        State.DISPATCHED: replace(held, holding=Holding.DISPATCHED),
        State.IN_PROGRESS: held,
        State.REPLIED: replace(held, stage=Stage.REPLIED, evaluate_until=NOW + dt.timedelta(days=3)),
        State.CLOSED: replace(held, stage=Stage.CLOSED, closed_at=NOW),
    }
