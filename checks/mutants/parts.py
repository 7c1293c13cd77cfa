"""Which code is pure, and which tests are its judge: those that need no server, the nearest first."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from checks.files import REPO


class Part(NamedTuple):
    """Sources (patterns) with the tests that judge their mutants.

    In a `strict` part no mutant may survive without a reason on the list.
    """

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]
    strict: bool = False

    def files(self, root: Path = REPO) -> Iterator[str]:
        """The sources, relative to the repository. Raises ValueError for a pattern without a file."""
        for pattern in self.sources:
            found = sorted(root.glob(pattern))
            if not found:
                raise ValueError(f"checks/mutants/parts.py: no file is called {pattern}")
            yield from (str(path.relative_to(root)) for path in found if path.stat().st_size > 200)


PARTS = (
    Part(
        "lifecycle",
        ("services/inquiry/domain/*.py",),
        (
            "tests/unit/services/inquiry/test_lifecycle.py",
            "tests/unit/services/inquiry/test_decisions.py",
            "tests/unit/services/inquiry/test_new_case.py",
            "tests/unit/services/inquiry/test_concern.py",
            "tests/unit/services/inquiry/test_visibility.py",
            "tests/unit/services/test_visibility.py",
            "tests/unit/services/inquiry/test_choices.py",
        ),
        strict=True,
    ),
    Part(
        "assignments",
        ("services/routing/domain/*.py",),
        (
            "tests/unit/services/routing/test_domain.py",
            "tests/unit/services/routing/test_decisions.py",
            "tests/unit/services/routing/test_facts.py",
            "tests/unit/services/routing/test_dispatch.py",
            "tests/unit/services/routing/test_visibility.py",
            "tests/unit/services/test_visibility.py",
        ),
        strict=True,
    ),
    Part(
        "publications",
        ("services/publisher/domain/*.py",),
        (
            "tests/unit/services/publisher/test_decisions.py",
            "tests/unit/services/publisher/test_content.py",
            "tests/unit/services/publisher/test_notices.py",
            "tests/unit/services/publisher/test_delivery_results.py",
            "tests/unit/services/publisher/test_mail_replies.py",
            "tests/unit/services/publisher/test_feeds.py",
            "tests/unit/services/publisher/test_addresses.py",
            "tests/unit/services/publisher/test_routes.py",
        ),
    ),
    Part(
        "clocks",
        ("shared/policy/deadlines.py", "shared/policy/calendar.py", "shared/policy/remaining.py"),
        (
            "tests/unit/shared/policy/test_calendar.py",
            "tests/unit/shared/policy/test_remaining.py",
            "tests/unit/shared/policy/test_deadlines.py",
            "tests/property/test_clocks.py",
        ),
        strict=True,
    ),
    Part(
        "calendars",
        ("shared/policy/calendar_table.py",),
        (
            "tests/unit/shared/policy/test_calendar_table.py",
            "tests/unit/shared/policy/test_calendar.py",
        ),
        strict=True,
    ),
    Part(
        "packs",
        (
            *("shared/policy/model.py", "shared/policy/dispatch.py", "shared/policy/explain.py"),
            *("shared/policy/errors.py", "shared/policy/tables.py", "shared/policy/check.py"),
        ),
        (
            "tests/unit/shared/policy/test_tables.py",
            "tests/unit/shared/policy/test_model.py",
            "tests/unit/shared/policy/test_dispatch.py",
            "tests/unit/shared/policy/test_explain.py",
            "tests/unit/shared/policy/test_check.py",
        ),
    ),
    Part("differences", ("shared/policy/diff.py",), ("tests/unit/shared/policy/test_diff.py",)),
    Part(
        "loading",
        ("shared/policy/loader.py", "shared/policy/sources.py", "shared/policy/references.py"),
        (
            "tests/unit/shared/policy/test_sources.py",
            "tests/unit/shared/policy/test_references.py",
            "tests/unit/shared/policy/test_loader.py",
        ),
    ),
    Part(
        "rounds",
        ("shared/inbox/rounds.py", "shared/inbox/resolving.py", "shared/inbox/handlers.py"),
        (
            "tests/unit/shared/inbox/test_rounds.py",
            "tests/unit/shared/inbox/test_applying.py",
            "tests/unit/shared/inbox/test_resolving.py",
            "tests/unit/shared/inbox/test_handlers.py",
        ),
        strict=True,
    ),
    Part(
        "tree",
        (
            *("shared/merkle.py", "services/audit/log/compact_range.py"),
            *("services/audit/log/merkle_proofs.py", "services/audit/log/prove.py"),
            *("services/audit/log/tiles.py",),
        ),
        (
            "tests/unit/services/audit/test_tiles.py",
            "tests/unit/shared/test_merkle.py",
            "tests/unit/services/audit/test_merkle_proofs.py",
            "tests/property/test_tree.py",
        ),
        strict=True,
    ),
    Part(
        "log",
        (
            *("services/audit/log/note.py", "services/audit/log/checkpoint.py"),
            *("services/audit/log/entry.py", "services/audit/log/proof.py", "services/audit/log/parsing.py"),
            *("services/audit/log/gap_detection.py", "services/audit/log/subjects.py"),
            "services/audit/log/batch.py",
        ),
        (
            "tests/unit/services/audit/test_parsing.py",
            "tests/unit/services/audit/test_entry.py",
            "tests/unit/services/audit/test_note.py",
            "tests/unit/services/audit/test_proof.py",
            "tests/unit/services/audit/test_gap_detection.py",
        ),
    ),
    Part(
        "events",
        (
            *("shared/events/encoding.py", "shared/events/decoding.py"),
            *("shared/kafka/records.py", "shared/kafka/tolerant_records.py"),
        ),
        (
            "tests/unit/shared/events/test_encoding.py",
            "tests/unit/shared/events/test_decoding.py",
            "tests/unit/shared/kafka/test_records.py",
            "tests/contract/test_golden.py",
        ),
    ),
    Part(
        "ids and keys",
        ("shared/ids.py", "shared/keys.py", "shared/decision.py"),
        (
            "tests/unit/shared/test_ids.py",
            "tests/unit/shared/test_keys_and_webhooks.py",
            "tests/unit/shared/test_errors_and_decisions.py",
        ),
    ),
    Part(
        "provenance",
        ("shared/unit_of_work/provenance.py",),
        ("tests/unit/shared/unit_of_work/test_transaction.py",),
    ),
    Part("topics", ("shared/kafka/topic_changes.py",), ("tests/unit/shared/kafka/test_topics.py",)),
)
