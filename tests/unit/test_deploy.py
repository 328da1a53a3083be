"""What is shipped beside the program fits the program."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qibai import config
from qibai.cli.reference import reference, sample

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy").glob("*.service"))


def test_systemd_takes_every_unit_as_it_is(tmp_path: Path) -> None:
    """Only the installation's path is replaced, as there is none on this machine."""
    program = tmp_path / "qibai"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    paths = []
    for unit in [*UNITS, ROOT / "deploy" / "qibai.target", ROOT / "deploy" / "qibai-backup.timer"]:
        text = unit.read_text().replace("/opt/qibai/.venv/bin/qibai", str(program))
        (tmp_path / unit.name).write_text(text)
        paths.append(str(tmp_path / unit.name))
    verify = shutil.which("systemd-analyze")
    assert verify, "scripts/setup --tests installs systemd"
    done = subprocess.run(
        [verify, "verify", "--man=no", "--recursive-errors=no", *paths],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_run_commands_that_exist_and_are_hardened(unit: Path) -> None:
    text = unit.read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart=")).split()[1]
    done = subprocess.run(
        [sys.executable, "-m", "qibai", command, "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0
    for setting in (
        "PartOf=qibai.target",
        "User=qibai",
        "ProtectSystem=strict",
        "LimitCORE=0",  # a core file would hold keys and real numbers
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
    ):
        assert f"\n{setting}\n" in text


def test_stopping_the_target_stops_the_timer() -> None:
    text = (ROOT / "deploy" / "qibai-backup.timer").read_text()
    assert "\nPartOf=qibai.target\n" in text
    assert "\nWantedBy=qibai.target\n" in text


def command_here(tmp_path: Path, program: str, *words: str) -> str:
    """What deploy/qibai prints. Only paths and the user are replaced, as the installation is not here."""
    environment = tmp_path / "environment"
    environment.write_text("QIBAI_STORE_DSN='host=127.0.0.1 dbname=a b'\nQIBAI_API_PORT=7077\n")
    text = (ROOT / "deploy" / "qibai").read_text()
    for old, new in (
        ("/etc/qibai/environment", str(environment)),
        ("/var/lib/qibai", str(tmp_path / "home")),
        ("/opt/qibai/.venv/bin/qibai", program),
        ("runuser -u qibai --", "env"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "qibai").write_text(text)
    return subprocess.run(
        ["sh", str(tmp_path / "qibai"), *words],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "SUDO_USER": "ann"},
    ).stdout


def test_the_command_runs_with_what_the_units_have(tmp_path: Path) -> None:
    program = f"{sys.executable} -m qibai"
    found = json.loads(command_here(tmp_path, program, "config", "effective", "--json"))
    assert found["home"] == str(tmp_path / "home")
    assert found["api"]["port"] == 7077
    assert found["store"]["dsn"] != ""


def test_the_command_says_who_called_sudo(tmp_path: Path) -> None:
    assert "QIBAI_AS=ann" in command_here(tmp_path, "/usr/bin/env").splitlines()


def test_the_configuration_page_is_what_the_types_say() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == reference()


def test_every_key_is_explained() -> None:
    rows = [line.split("|") for line in reference().splitlines() if line.startswith("| `")]
    assert [row[1] for row in rows if not row[4].strip()] == []


@pytest.mark.parametrize("text", [sample(), (ROOT / "deploy" / "qibai.toml").read_text()])
def test_samples_are_valid(tmp_path: Path, text: str) -> None:
    (tmp_path / "qibai.toml").write_text(text)
    loaded = config.load(tmp_path, {})
    assert loaded.binding == config.BindingConfig()


def test_an_uncommented_sample_is_the_default(tmp_path: Path) -> None:
    lines = sample().partition("# A carrier's SIP element")[0].splitlines()
    text = "\n".join(line.removeprefix("# ") if " = " in line else line for line in lines)
    (tmp_path / "qibai.toml").write_text(text)
    found = config.load(tmp_path, {})
    assert found == config.Config(home=tmp_path, node=found.node)
