"""Which errors are nobody's event's fault: the database, the network, the machine."""

import asyncio

import asyncpg

_INFRASTRUCTURE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a query between the server's farewell and the end of the connection
    asyncpg.OperatorInterventionError,  # admin shutdown, crash recovery, cancelled by an operator
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,  # I/O errors of the server
    asyncpg.TransactionRollbackError,  # deadlock, serialisation: the same slice will pass
    asyncpg.SyntaxOrAccessError,  # the tables are not those of this release: migrate
    asyncpg.ReadOnlySQLTransactionError,  # we are connected to a standby after a fail-over
    OSError,
    TimeoutError,
)


def is_infrastructure(error: BaseException) -> bool:
    """Whether nothing else could progress either, so that waiting is right and parking is wrong."""
    return isinstance(error, _INFRASTRUCTURE)


def is_passing(error: Exception, *more: type[Exception]) -> bool:
    """Whether a loop may wait the error out and go on: infrastructure's, or one of `more`.

    Raises CancelledError where the loop is being ended. A rollback or a farewell on a connection that dies at
    that moment raises in the place of the cancellation, and whoever took it for a fault would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
    return isinstance(error, more) or is_infrastructure(error)
