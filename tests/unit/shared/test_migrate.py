"""Which database URL a migration uses."""

import pytest

from shared.migrate import MigrationFailed, _dbmate_url, role_url

ADMIN = "postgres://admin:pw@db:5432/civic"


def test_a_role_has_the_admins_password_unless_its_own_url_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDIT_DATABASE_URL", raising=False)
    assert role_url(ADMIN, "audit") == "postgres://audit:pw@db:5432/civic"
    monkeypatch.setenv("AUDIT_DATABASE_URL", "postgres://audit:own@elsewhere/civic")
    assert role_url(ADMIN, "audit") == "postgres://audit:own@db:5432/civic"


def test_dbmate_works_in_the_services_schema_and_keeps_the_urls_own_options() -> None:
    assert _dbmate_url(ADMIN, "audit") == f"{ADMIN}?search_path=audit&sslmode=disable"
    assert _dbmate_url(f"{ADMIN}?sslmode=require", "audit") == f"{ADMIN}?sslmode=require&search_path=audit"


def test_a_failed_migration_names_the_service() -> None:
    assert str(MigrationFailed("audit", "syntax error")) == "migrations of audit failed: syntax error"
