"""What every command has in common."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from qibai.cli.app import app

#: They run in the foreground until they are stopped, or write a file's text.
NO_JSON = {"api", "recorder", "kamailio", "rtpengine", "code export", "audit export"}


def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield " ".join([*path, name]), command


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", sorted(ALL.keys() - NO_JSON))
def test_each_command_prints_json_when_asked(name: str) -> None:
    assert any("--json" in option.opts for option in ALL[name].params)


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_command_explains_itself(name: str) -> None:
    assert ALL[name].help


def test_the_shell_completes_commands_and_values(tmp_path: Path) -> None:
    """bash, after ``qibai --install-completion`` in it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = """
    qibai --install-completion >&2
    source ~/.bashrc
    try() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _qibai_completion qibai; echo "${COMPREPLY[*]}"; }
    try qibai ten; try qibai tenant key ''; try qibai bind --mode GX; try qibai rout
    """
    env = {**os.environ, "HOME": str(tmp_path), "PATH": path}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["tenant", "add list revoke", "GXB GXYB", "route"], done.stderr
