"""Takes back what inquiry had said after its backup: cases, their state, contacts, erasures."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from services.inquiry.domain.case import Case
from services.inquiry.domain.concern import Concern, Contact
from services.inquiry.domain.decisions import erase
from services.inquiry.domain.new_case import Beginning, NewCase
from services.inquiry.domain.recall import Fact, recall
from services.inquiry.domain.states import Stage
from services.inquiry.effects import ACTOR, Effect, carry_out
from services.inquiry.queries import (
    erase_words_and_contact,
    insert_cases,
    insert_contacts,
    insert_receipts,
    insert_steps,
    load_cases,
    read_contact,
    store_cases,
)
from shared.contracts.base import words_hash
from shared.contracts.inquiry import ContactStated, InquiryErased, InquiryReceived, InquiryWords
from shared.decision import Refusal
from shared.packs import Packs
from shared.restore.said import SaidEvent
from shared.unit_of_work.transaction import Tx


@dataclass(slots=True)
class TakenBack:
    """`cases` that were rebuilt, by number with their channel; `taken` the ids of the facts that are in the
    tables again; `incomplete` a line for each case that misses a part."""

    cases: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    incomplete: list[str] = field(default_factory=list)


async def take_back(tx: Tx, packs: Packs, facts: Sequence[SaidEvent]) -> TakenBack:
    """Applies facts in the order of their sequences. Their subjects must be locked."""
    result = TakenBack()
    await packs.load(tx.connection, {said.event.policyversion for said in facts})
    cases = await load_cases(tx.connection, list({said.event.subject for said in facts}))
    for said in facts:
        if isinstance(said.event.data, ContactStated):
            await _keep_contact(tx, said, result)
        else:
            cases[said.event.subject] = await _apply(tx, packs, said, cases[said.event.subject], result)
    result.incomplete += _without_contact(facts)
    return result


async def _apply(tx: Tx, packs: Packs, said: SaidEvent, case: Case, result: TakenBack) -> Case:
    event, data = said.event, said.event.data
    fact = Fact(data, event.time, event.policyversion, _text(said))
    if not isinstance(data, InquiryReceived) and case.stage is Stage.UNKNOWN:
        result.incomplete.append(f"{event.subject}: {event.type} of a case whose intake is on no topic")
        return case
    decision = recall(case, fact, packs.of(event.policyversion))
    result.taken.add(event.id)
    if decision is None:
        return case
    if isinstance(data, InquiryReceived):
        await _insert(tx, said, decision.state, result)
    else:
        await store_cases(tx.connection, [decision.state])
    await insert_steps(
        tx.connection,
        [(event.subject, event.effectivetime or event.time, step) for step in decision.steps],
    )
    tx.cancel(event.subject, *decision.cancelled)
    for timer in decision.timers:
        tx.schedule(event.subject, timer)
    if isinstance(data, InquiryErased):
        await erase_words_and_contact(tx.connection, event.subject)
        tx.erase(event.subject)
    return decision.state


async def _insert(tx: Tx, said: SaidEvent, case: Case, result: TakenBack) -> None:
    data: InquiryReceived = said.event.data
    words = said.record.header("words")
    if words is not None and words_hash(words) != said.event.wordshash:
        words = None
    concern = Concern(
        words=InquiryWords(title="-", text="-"),  # the row of the case holds none
        kind=data.kind,
        service_code=data.service_code,
        channel=data.channel,
        area=data.area,
        visibility=data.visibility,
        urgent=data.urgent,
        external_source=data.external_source,
        external_id=data.external_id,
        original_time=data.original_time,
    )
    beginning = Beginning(case.stage, case.policy_version, case.clock)
    new = NewCase(case.id, data.number, data.secret_hash, concern, beginning)
    await insert_cases(tx.connection, [new], said.event.time)
    await insert_receipts(tx.connection, [(case.id, said.record.value or b"", words)])
    result.cases[data.number] = data.channel
    if words is None and said.event.wordshash is not None:
        result.incomplete.append(f"{data.number} ({data.channel}): its words are on no topic")


async def _keep_contact(tx: Tx, said: SaidEvent, result: TakenBack) -> None:
    data: ContactStated = said.event.data
    result.taken.add(said.event.id)
    contact = Contact(data.name, data.email, data.phone, data.language)
    if contact.is_kept and await read_contact(tx.connection, said.event.subject) is None:
        await insert_contacts(tx.connection, [(said.event.subject, contact)])


async def erase_again(tx: Tx, packs: Packs, erased: Collection[str]) -> list[str]:
    """Erases cases of which only the log still knows that they were; a line for each.

    The subjects must be locked. The log has no basis of an erasure, so a person must look at it.
    """
    lines: list[str] = []
    effects: list[Effect] = []
    for case in (await load_cases(tx.connection, sorted(erased))).values():
        decision = erase(case, "citizen_request", tx.now)
        if isinstance(decision, Refusal):
            continue  # unknown here, or erased by the facts on the topic
        pack = await packs.find(tx.connection, case.policy_version)
        effects.append(Effect(decision, pack, ACTOR, tx.now))
        await erase_words_and_contact(tx.connection, case.id)
        lines.append(f"{case.id}: erased again; stated as asked for by the citizen, since its basis is lost")
    await carry_out(tx, effects)
    return lines


def _without_contact(facts: Sequence[SaidEvent]) -> list[str]:
    """A line for each case whose contact is gone: the contact topic keeps records for a week only."""
    stated = {said.event.subject for said in facts if isinstance(said.event.data, ContactStated)}
    return [
        f"{said.event.data.number} ({said.event.data.channel}): its contact is on no topic"
        for said in facts
        if isinstance(said.event.data, InquiryReceived)
        and said.event.data.has_contact
        and said.event.subject not in stated
    ]


def _text(said: SaidEvent) -> str | None:
    raw = said.record.header("words")
    if raw is None or words_hash(raw) != said.event.wordshash:
        return None
    text: str | None = getattr(said.contract.words.model_validate_json(raw), "text", None)
    return text
