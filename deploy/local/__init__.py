"""The embedded pair: real PostgreSQL 18 and Apache Kafka 4.3 from packages, without Docker, Maven or root.

`pair.Pair` starts both, `postgres.Postgres` and `kafka.Kafka` one each, and `process.spawn` any child that
must end with us.
"""
