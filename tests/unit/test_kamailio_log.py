"""What Kamailio logs of messages that it cannot read is not shown."""

import subprocess
import sys

import pytest

from qibai.voice.log import LogFilter

CORE = " 2(652) ERROR: <core> [core/parser/msg_parser.c:407]: parse_headers(): "


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            f"{CORE}duplicate From header field [From: <sip:17391058264@x>",
            f"{CORE}duplicate From header field",
        ),
        (f"{CORE}bad name <17391", f"{CORE}bad name"),
        (f'{CORE}bad "%31%37"', f"{CORE}bad"),
        (f"{CORE}unexpected sip:17391058264", f"{CORE}unexpected"),
        (f"{CORE}length 739105826", f"{CORE}length …"),
        (f"{CORE}+8617391058264 is no name", f"{CORE}+86173****8264 is no name"),
        (
            " 1(9) ERROR: rtpengine [rtpengine.c:3541]: rtpp_function_call(): no available proxies",
            " 1(9) ERROR: rtpengine [rtpengine.c:3541]: rtpp_function_call(): no available proxies",
        ),
        (
            " 1(9) ERROR: rtpengine [x.c:1]: select_rtpp_node(): failed for callid=c12345678-38gd2vepqsnsk",
            " 1(9) ERROR: rtpengine [x.c:1]: select_rtpp_node(): failed for callid=c12345678-38gd2vepqsnsk",
        ),
    ],
)
def test_lines(line: str, shown: str) -> None:
    assert LogFilter()(line) == shown


def test_the_rest_of_a_message_is_left_out() -> None:
    shown = LogFilter()
    assert shown("Listening on") == "Listening on"
    assert shown(f"{CORE}bad [From: x") == f"{CORE}bad"
    assert [shown(line) for line in ("Content-Type: application/sdp", "", "o=17391]")] == [None] * 3
    assert shown(f"{CORE}done") == f"{CORE}done"


@pytest.mark.parametrize("kind", ["request", "reply"])
@pytest.mark.parametrize("lack", ["required headers not found in", "no via found in"])
def test_a_message_that_was_dropped_is_counted(kind: str, lack: str) -> None:
    counted: list[str] = []
    LogFilter(counted.append)(f" 2(652) ERROR: <core> [core/receive.c:550]: receive_msg(): {lack} {kind}")
    assert counted == ["requests_unanswerable"]


def test_a_traceback_of_our_own_is_shown() -> None:
    shown = LogFilter()
    assert shown(" 1(9) ERROR: app_python3 [apy.c:1]: apy_exec(): error exception occurred in [x]")
    assert shown('  File "kemi.py", line 3') == '  File "kemi.py", line 3'
    assert shown("ValueError: 17391058264") == "ValueError: 173****8264"


def test_a_program_that_a_process_becomes_is_filtered() -> None:
    """As `qibai kamailio` does it under systemd."""
    says = f'echo "{CORE}bad [From: 17391" >&2; echo 058264; echo "{CORE}end" >&2'
    script = "import os; from qibai.voice import log; log.filter_stderr(); "
    script += f"os.execv('/bin/sh', ['sh', '-c', {says!r}])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == f"{CORE}bad\n{CORE}end\n"
    assert done.stdout == ""
