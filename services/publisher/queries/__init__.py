"""The only SQL of the publisher: plain functions with typed rows; the statements are in `queries.sql`.

A function that takes a `Tx` writes, or reads what the transaction has locked. One that takes a `Queryable`
only reads, on the pool or on a connection.
"""
