"""Finds statements of contacts that their topic has lost, and makes them again from inquiry's tables."""

import datetime as dt

from services.inquiry.domain.concern import Contact
from services.inquiry.intake import CONTACT_SOURCE
from services.inquiry.queries import contacts_of
from services.resend import Lost, addresses_of
from shared.clock import machine_now
from shared.contracts.addresses import topic_name
from shared.contracts.base import ORDINALS_PER_EPOCH
from shared.contracts.inquiry import ContactStated
from shared.events.encoding import Draft, encode_value
from shared.ids import derived_id, floor_id, moment_of
from shared.kafka.history import records_since
from shared.kafka.topics import load_topics
from shared.unit_of_work.database import Database
from shared.unit_of_work.sent import SentEvent, emitted_ordinals, waiting_values


async def find_lost_contacts(inquiry: Database, since: dt.datetime) -> Lost:
    """What the contact topic should still hold of the cases since a moment, and does not.

    A statement made again has its old place in the sequence, and another id. inquiry keeps no webhooks: who
    gave nothing else is listed under `nowhere`, and from what comes back a webhook is missing.

    Raises KafkaError if the broker does not answer.
    """
    topic = topic_name(inquiry.settings.topic_namespace, "contact")
    since = max(since, machine_now() - load_topics().retention("contact"))
    emitted: dict[str, int] = {}
    async for page in emitted_ordinals(inquiry.pool, CONTACT_SOURCE, after=floor_id(since)):
        emitted |= page
    present = addresses_of(await waiting_values(inquiry.pool, topic), CONTACT_SOURCE)
    async for records in records_since(inquiry.settings.kafka, [topic], since):
        present |= addresses_of((record.value for record in records), CONTACT_SOURCE)
    missing = emitted.keys() - {subject for subject, _ in present}
    lost = Lost(topic)
    for case, number, contact in await contacts_of(inquiry.pool, sorted(missing)):
        if contact is None:
            lost.nowhere.append((case, emitted[case] % ORDINALS_PER_EPOCH))
        else:
            lost.found.append(_statement(case, number, contact, emitted[case]))
    return lost


def _statement(case: str, number: str, contact: Contact, ordinal: int) -> SentEvent:
    epoch, sequence = divmod(ordinal, ORDINALS_PER_EPOCH)
    at = moment_of(case)
    stated = ContactStated(
        name=contact.name,
        email=contact.email,
        phone=contact.phone,
        language=contact.language,
        number=number,
        inquiry=case,
    )
    draft = Draft(
        id=derived_id(case, ContactStated.contract.type, "again"),
        source=CONTACT_SOURCE,
        subject=case,
        time=at,
        sequence=sequence,
        epoch=epoch,
        key=case,
        correlation=case,
        causation=None,
        effective=at,
        actor=None,
        policy=None,
        jurisdiction=None,
        data=stated,
    )
    return SentEvent(case, ordinal, encode_value(draft, None), None)
