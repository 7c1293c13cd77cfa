"""The SQL of publisher; the statements are in `queries.sql`."""

from shared import sql

QUERIES = sql.load("services.publisher")
