"""The SQL of audit; the statements are in `queries.sql`."""

from shared import sql

QUERIES = sql.load("services.audit")
