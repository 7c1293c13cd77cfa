"""Which errors are faults of the infrastructure (database, network, machine) and not of an event."""

import asyncio
import re

import asyncpg


class DatabaseBehind(Exception):
    """The database is older than what its service has said: no unit of work is done until it is restored."""


_INFRASTRUCTURE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # a query while the server is closing the connection
    asyncpg.OperatorInterventionError,  # admin shutdown, crash recovery, cancelled by an operator
    asyncpg.TransactionTimeoutError,  # longer than a limit of the session: by itself, or behind a lock
    asyncpg.IdleInTransactionSessionTimeoutError,  # the server ended the session
    asyncpg.LockNotAvailableError,  # another transaction holds the row: `lock_timeout`
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,  # I/O errors of the server
    asyncpg.TransactionRollbackError,  # deadlock, serialisation failure: a repetition succeeds
    # The schema is of another release: migrate. Other wrong SQL is the fault of the handler that sends it.
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ReadOnlySQLTransactionError,  # the connection is to a standby after a failover
    DatabaseBehind,
    OSError,
    TimeoutError,
)
# asyncpg has one class for a connection that is lost and for a caller that uses one wrongly, such as for two
# queries at once; only the message tells them apart.
_LOST = re.compile(r"connection (?:is closed|has been released)|pool is clos|another operation is cancelling")

# uvloop's, to a client that writes to a connection which has just been lost.
_CLOSED = "; the handler is closed"
_NO_THREAD = "can't start new thread"


def is_infrastructure(error: BaseException) -> bool:
    """Whether every other event would fail too, so that the batch must wait and no event may be parked."""
    if isinstance(error, asyncpg.InterfaceError):
        return _LOST.search(str(error)) is not None
    if isinstance(error, RuntimeError) and str(error).endswith(_CLOSED):
        return True
    return isinstance(error, _INFRASTRUCTURE) or _lacks_memory(error)


def is_passing(error: Exception, *more: type[Exception]) -> bool:
    """Whether a loop may wait the error out and continue: a fault of infrastructure, or one of `more`.

    A process without memory is not waited for: started again it has what it needs, or what it lacks is seen.

    Raises CancelledError if the loop's task is being cancelled. The rollback on a connection that dies at
    that moment replaces the cancellation by its own error; a loop that waited it out would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
    return isinstance(error, more) or (is_infrastructure(error) and not _lacks_memory(error))


def _lacks_memory(error: BaseException) -> bool:
    # Without memory for its stack a thread does not start, which has no class of its own.
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and str(error) == _NO_THREAD)
