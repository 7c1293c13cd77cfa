"""Nobody gets the same random bytes: not another thread, not a forked process."""

import os
from concurrent.futures import ThreadPoolExecutor

from shared.random_bytes import sixteen


def test_no_bytes_are_given_twice() -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: sixteen(), range(20_000)))
    assert len(set(taken)) == len(taken)
    assert {len(one) for one in taken} == {16}


def test_a_forked_process_gets_others() -> None:
    sixteen()  # so that some are left of a block
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"".join(sixteen() for _ in range(64)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 64 * 16)
    ours = b"".join(sixteen() for _ in range(64))
    assert len(theirs) == len(ours)
    assert theirs[:16] != ours[:16]
    assert {theirs[i : i + 16] for i in range(0, 1024, 16)}.isdisjoint(
        ours[i : i + 16] for i in range(0, 1024, 16)
    )
