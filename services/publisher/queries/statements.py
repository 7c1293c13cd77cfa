"""The statements of `queries.sql` by name, and what they run on."""

import asyncpg

from shared import sql
from shared.unit_of_work.transaction import Connection

SQL = sql.load("services.publisher")
Queryable = Connection | asyncpg.Pool
