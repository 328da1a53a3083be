"""Kamailio's own Python is the system's, whatever Python the user's shell prefers."""

import os
import subprocess
from pathlib import Path

import pytest

from qibai.config import Config
from qibai.settings.running import advice
from qibai.voice.engine import kamailio_environment


def test_another_python_in_path_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "pyenv" / "bin"
    foreign.mkdir(parents=True)
    (foreign / "python3").write_text("#!/bin/sh\necho foreign\n")
    (foreign / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{foreign}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONHOME", str(foreign.parent))
    environment = kamailio_environment(Config(home=tmp_path))
    asked = ["/bin/sh", "-c", "command -v python3; env"]
    said = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout
    assert not said.startswith(str(foreign))
    assert "PYTHONHOME" not in said
    assert str(foreign) in environment["PATH"]


def test_what_takes_a_changed_key_over_is_said() -> None:
    assert advice({"api": ["binding.max_ttl_s"], "kamailio": ["voice.peers"]}) == "qibai reload"
    assert advice({"api": ["binding.max_ttl_s", "api.port"]}).startswith("qibai down, then qibai up")
