"""Many processes bind over one code until it is full."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from binding_tools import CODES, assert_whole, connection, value
from qibai.core.binding import Mode
from qibai.store.keys import Keyring

PROCESSES = 16
PROGRAM = """
import asyncio, sys
from pathlib import Path
from binding_tools import CODES, bind, connection, item
from qibai.core.binding import Mode
from qibai.core.errors import PoolExhausted
from qibai.store.bindings import Bound
from qibai.store.keys import Keyring

async def main(me, mode, dsn, keys):
    keyring, made, b = Keyring.load(Path(keys)), 0, 1_000_000 * (me + 1)
    async with connection(dsn) as conn:
        while True:
            batch = [item(1, b + n, mode=Mode(mode)) for n in range(100)]
            b += 100
            answers = await bind(conn, keyring, *batch, codes=CODES[:1])
            made += sum(isinstance(answer, Bound) for answer in answers)
            failed = [answer for answer in answers if not isinstance(answer, Bound)]
            if failed:
                assert all(isinstance(answer, PoolExhausted) for answer in failed), failed
                print(made)
                return

asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]))
"""


@pytest.mark.parametrize(("mode", "room"), [(Mode.AXB, 10_000), (Mode.AXYB, 9_999)])
async def test_sixteen_processes_fill_one_code(dsn: str, keyring: Keyring, mode: Mode, room: int) -> None:
    """A is the same in all bindings, so each number can be X just once; a Y must be one more without A."""
    here = str(Path(__file__).parents[1])
    racers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            str(me),
            mode.value,
            dsn,
            str(keyring.path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PYTHONPATH": here},
        )
        for me in range(PROCESSES)
    ]
    made = 0
    for racer in racers:
        out, err = await racer.communicate()
        assert racer.returncode == 0, err.decode()
        made += int(out)
    async with connection(dsn) as conn:
        assert made == room
        assert await value(conn, "SELECT count(*) FROM binding") == room
        assert await value(conn, "SELECT count(DISTINCT x) FROM binding") == room
        assert await value(conn, "SELECT count(*) FROM route") == 2 * room
        assert await value(conn, "SELECT count(DISTINCT code) FROM binding") == len(CODES[:1])
        await assert_whole(conn)
