"""The only SQL of the publisher: plain functions with typed rows; the statements are in `queries.sql`.

A function that takes a `Tx` is part of its transaction. One that takes a `Queryable` is a single statement,
on the pool (its own transaction) or on a connection.
"""
