"""What a process measures by itself goes on as before when somebody sets the clock."""

import subprocess
import sys
from pathlib import Path

import pytest

from recorder_tools import SetClock

#: Asks until it is refused, and waits for a line; asks once more, a second later at least.
_RATES = """
import sys, time
from qibai.api.errors import RateLimited
from qibai.api.rates import Rates
rates = Rates(1, 1)
def ask():
    try:
        return rates.count("key")["RateLimit-Remaining"]
    except RateLimited as exc:
        return "refused"
while ask() != "refused":
    pass
print(round(time.time()), flush=True)
sys.stdin.readline()
time.sleep(1.1)
print(ask(), round(time.time()), flush=True)
"""


@pytest.mark.parametrize("step", [3_600, -3_600])
def test_a_rate_by_the_second_has_its_next_second(tmp_path: Path, step: int) -> None:
    clock = SetClock(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", _RATES],
        env=clock.environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        began = process.stdout.readline()
        clock.set(step)
        process.stdin.write("\n")
        process.stdin.flush()
        left, ended = process.stdout.readline().split()
    assert abs(int(ended) - int(began) - step) < 60
    assert left == "0"
