"""Which errors are faults of the infrastructure (database, network, machine) and not of an event."""

import asyncio

import asyncpg


class DatabaseBehind(Exception):
    """The database is older than what its service has said: no unit of work is done until it is restored."""


_INFRASTRUCTURE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a query while the server is closing the connection
    asyncpg.OperatorInterventionError,  # admin shutdown, crash recovery, cancelled by an operator
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,  # I/O errors of the server
    asyncpg.TransactionRollbackError,  # deadlock, serialisation failure: a repetition succeeds
    asyncpg.SyntaxOrAccessError,  # the schema is of another release: migrate
    asyncpg.ReadOnlySQLTransactionError,  # the connection is to a standby after a failover
    DatabaseBehind,
    OSError,
    TimeoutError,
)


def is_infrastructure(error: BaseException) -> bool:
    """Whether every other event would fail too, so that the batch must wait and no event may be parked."""
    return isinstance(error, _INFRASTRUCTURE)


def is_passing(error: Exception, *more: type[Exception]) -> bool:
    """Whether a loop may wait the error out and continue: a fault of infrastructure, or one of `more`.

    Raises CancelledError if the loop's task is being cancelled. The rollback on a connection that dies at
    that moment replaces the cancellation by its own error; a loop that waited it out would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
    return isinstance(error, more) or is_infrastructure(error)
