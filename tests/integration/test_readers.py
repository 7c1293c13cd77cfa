"""The table of consumers matches the services: each is wired and compared with it."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.schema import SECRET, open_service_database
from services.audit.app import build as build_audit
from services.audit.config import AuditSettings
from services.audit.writer import TOPICS
from services.inquiry.app import build as build_inquiry
from services.inquiry.config import InquirySettings
from services.publisher.app import build as build_publisher
from services.publisher.config import PublisherSettings
from services.routing.app import build as build_routing
from shared.contracts.addresses import ADDRESSES, topic_name
from shared.contracts.readers import CONSUMERS, LOGGED
from shared.service import Parts
from shared.settings import CoreSettings, ServiceName
from shared.unit_of_work.database import Database

NAMESPACE = "city"
Build = Callable[[Database, Any], Awaitable[Parts]]
BUILDS: dict[ServiceName, tuple[Build, type[CoreSettings]]] = {
    "publisher": (build_publisher, PublisherSettings),
    "inquiry": (build_inquiry, InquirySettings),
    "routing": (build_routing, CoreSettings),
    "audit": (build_audit, AuditSettings),
}


def matched(pattern: str) -> tuple[str, ...]:
    """The logical topics that a service's regular expression finds."""
    return tuple(
        logical
        for logical, address in ADDRESSES.items()
        if re.match(pattern, topic_name(NAMESPACE, logical, "water" if "{code}" in address else None))
    )


@pytest.mark.parametrize("service", BUILDS)
async def test_a_service_reads_what_the_table_says(
    service: ServiceName, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TOPIC_NAMESPACE", NAMESPACE)
    build, settings_type = BUILDS[service]
    opened = await open_service_database(database, service, namespace=NAMESPACE)
    try:
        parts = await build(opened, settings_type.for_service(service))
    finally:
        await opened.close()
    reads = {service: tuple(parts.topics)} if parts.topics else {}
    if parts.pattern:
        reads[f"{service}.actions"] = matched(parts.pattern)
    assert reads == CONSUMERS[service]


def test_the_log_reads_what_the_table_says() -> None:
    assert TOPICS == LOGGED
