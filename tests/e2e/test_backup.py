"""A backup of a running platform, and what can be made of it."""

import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in
from up_tools import tenant_key

from disk_tools import small_disk
from qibai.client import BindRequest, Client
from qibai.store import dsn
from qibai.store.keys import Keyring
from qibai.store.rotation import rotate_values
from qibai.testing.platform import wait_for
from voice_tools import A, B

NO_VOICE = {"QIBAI_VOICE_ENABLED": "false", "QIBAI_PILOT_NOTICE": ""}


@dataclass
class Kept:
    """A platform that has a binding and ran until it was backed up."""

    cli: Cli
    folder: Path
    keys: Path
    key: str
    binding: str
    x: str


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    place = tmp_path_factory.mktemp("backup")
    with cli_in(place / "home", **NO_VOICE) as cli:
        cli.run("init")
        cli.run("up", "--detach")
        key = tenant_key(cli)
        client = Client(f"http://127.0.0.1:{cli.config.api.port}", api_key=key)
        made = client.bind(BindRequest(mode="AXB", a=A.e164, b=B.e164, order_id="o1"))
        cli.run("tenant", "add", "two")  # an audited act
        said = cli.json("backup", str(place / "backups"), "--keys-to", str(place / "safe"))
        (keys,) = (place / "safe").iterdir()
        yield Kept(cli, Path(said["folder"]), keys, key, made.id, made.x)


def test_nobody_else_can_read_a_backup_and_the_keys_are_not_in_it(kept: Kept) -> None:
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(kept.keys.stat().st_mode) == 0o600
    keys = kept.cli.config.key_file.read_bytes()
    assert kept.keys.read_bytes() == keys
    secrets = [v for part in json.loads(keys).values() for v in part["keys"].values()]
    whole = b"".join(path.read_bytes() for path in kept.folder.rglob("*") if path.is_file())
    assert not [secret for secret in secrets if secret.encode() in whole]
    assert A.e164.encode() not in whole
    backups = kept.folder.parent
    link = backups.parent / "link"
    link.symlink_to(backups)
    for place in (backups, backups / "keys", link, link / "keys", backups / ".." / backups.name / "keys"):
        refused = kept.cli.run("backup", str(backups), "--keys-to", str(place), status=1)
        assert "apart" in refused.stderr, place
    before = sorted(backups.iterdir())
    for place in (kept.keys / "in", Path("/proc/keys")):  # found before anything is copied
        refused = kept.cli.run("backup", str(backups), "--keys-to", str(place), status=1)
        assert "backup_failed" in refused.stderr, place
    assert sorted(backups.iterdir()) == before


def test_what_was_backed_up_is_there_again_in_another_home(kept: Kept, tmp_path: Path) -> None:
    with cli_in(tmp_path / "other", **NO_VOICE) as other:
        said = other.json("restore", str(kept.folder), "--keys", str(kept.keys))
        assert said["rows"]["binding"] == 1
        other.run("up", "--detach")
        client = Client(f"http://127.0.0.1:{other.config.api.port}", api_key=kept.key)
        found = client.get(kept.binding)
        assert (found.x, found.status) == (kept.x, "active")
        assert other.json("audit", "verify")["entries"] >= said["rows"]["audit"]
        (entry,) = [e for e in other.json("audit", "list") if e["action"] == "backup.restore"]
        assert entry["subject"] == f"backup:{kept.folder.name}"


def test_a_drill_proves_the_backup_and_leaves_nothing_behind(kept: Kept) -> None:
    before = sorted(path.name for path in kept.cli.home.iterdir())
    said = kept.cli.json("restore", str(kept.folder), "--drill")
    assert said["drill"] is True
    assert said["rows"] == json.loads((kept.folder / "manifest.json").read_text())["rows"]
    assert sorted(path.name for path in kept.cli.home.iterdir()) == before


@pytest.mark.parametrize("harm", ["changed", "cut", "missing", "more", "manifest", "link"])
def test_a_damaged_backup_is_refused_before_anything_is_touched(
    kept: Kept, tmp_path: Path, harm: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(kept.folder, copy)
    victim = max((copy / "database").iterdir(), key=lambda path: path.stat().st_size)
    match harm:
        case "changed":
            data = bytearray(victim.read_bytes())
            data[len(data) // 2] ^= 1
            victim.write_bytes(data)
        case "cut":
            victim.write_bytes(victim.read_bytes()[:-1])
        case "missing":
            victim.unlink()
        case "more":
            (copy / "database" / "more").write_text("x")
        case "link":
            victim.rename(tmp_path / "elsewhere")
            victim.symlink_to(tmp_path / "elsewhere")
        case "manifest":
            text = (copy / "manifest.json").read_text()
            (copy / "manifest.json").write_text(text.replace('"binding": 1', '"binding": 2'))
    with cli_in(tmp_path / "other", **NO_VOICE) as other:
        refused = other.run("restore", str(copy), "--keys", str(kept.keys), status=1)
        assert "backup_broken" in refused.stderr
        assert not (other.home / "pg").exists()


def test_a_disk_without_room_is_named(kept: Kept, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "256k") as place:
        refused = kept.cli.run("backup", str(place / "backups"), status=1).stderr
        assert "backup_failed" in refused and "o space left" in refused
        assert [path for path in place.rglob("*") if path.is_file()] == []
        with cli_in(place / "home", **NO_VOICE) as other:
            refused = other.run("restore", str(kept.folder), "--keys", str(kept.keys), status=1).stderr
        assert "backup_failed" in refused and "MB are needed" in refused


def test_other_keys_are_refused(kept: Kept, tmp_path: Path) -> None:
    with cli_in(tmp_path / "other", **NO_VOICE) as other:
        other.run("init")
        refused = other.run("restore", str(kept.folder), status=1)
        assert "key_file" in refused.stderr
        assert "--keys" in refused.stderr


def test_a_home_with_data_is_not_touched_unless_asked_and_then_moved_aside(
    kept: Kept, tmp_path: Path
) -> None:
    with cli_in(tmp_path / "other", **NO_VOICE) as other:
        other.run("restore", str(kept.folder), "--keys", str(kept.keys))
        assert "--replace" in other.run("restore", str(kept.folder), status=1).stderr
        said = other.json("restore", str(kept.folder), "--replace")
        assert (Path(said["aside"]) / "pg" / "PG_VERSION").exists()
        other.run("up", "--detach")
        assert "runs" in other.run("restore", str(kept.folder), "--replace", status=1).stderr


@pytest.mark.parametrize("reached", ["PG_VERSION", "global/pg_control", "postmaster.pid"])
def test_a_restore_that_is_killed_leaves_the_home_as_it_was(kept: Kept, tmp_path: Path, reached: str) -> None:
    """Whatever it had started ends, and the next restore begins at once."""
    with cli_in(tmp_path / "other", **NO_VOICE) as other:
        args = ["restore", str(kept.folder), "--keys", str(kept.keys)]
        process = subprocess.Popen([*other.command, *args], env=other.env, stderr=subprocess.DEVNULL)
        wait_for((other.home / "restoring" / "pg" / reached).exists, reached, 60)
        process.kill()
        process.wait()
        assert [path.name for path in other.home.iterdir()] == ["restoring"]
        other.run(*args)
        assert not (other.home / "restoring").exists()
        own = str(other.home).encode()
        left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if own in read(path)]
        assert left == []


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_of_two_restores_into_a_home_one_is_refused_and_no_platform_starts_meanwhile(
    kept: Kept, tmp_path: Path
) -> None:
    with cli_in(tmp_path / "other", **NO_VOICE) as other:
        args = ["restore", str(kept.folder), "--keys", str(kept.keys)]
        first = subprocess.Popen([*other.command, *args], env=other.env, stderr=subprocess.DEVNULL)
        wait_for((other.home / "restoring" / "pg").exists, "the restore", 60)
        for refused in (args, ["up", "--detach"]):
            assert "is under way" in other.run(*refused, status=1).stderr
        assert first.wait(120) == 0


def test_a_restore_that_was_cut_off_while_it_moved_files_is_finished_at_the_start(
    kept: Kept, tmp_path: Path
) -> None:
    with cli_in(tmp_path / "other", **NO_VOICE) as other:
        other.run("restore", str(kept.folder), "--keys", str(kept.keys))
        stage = other.home / "restoring"
        stage.mkdir()
        (stage / "aside").write_text("before-restore-20260101T000000Z")
        (other.home / "keys.json").rename(stage / "keys.json")
        other.run("up", "--detach")
        assert not stage.exists()
        with Client(f"http://127.0.0.1:{other.config.api.port}", api_key=kept.key) as client:
            assert client.get(kept.binding).x == kept.x


def test_older_backups_of_this_node_are_removed(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    for _ in range(3):
        said = kept.cli.json("backup", str(tmp_path), QIBAI_BACKUP_KEEP="2")
    assert len(said["removed"]) == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "stranger")[-1] == Path(said["folder"]).name
    assert len(list(tmp_path.iterdir())) == 3


def test_the_backup_of_another_node_that_is_under_way_is_left_alone(kept: Kept) -> None:
    """Nodes may share the folder, and a process of another machine has no number here."""
    drafts = [
        kept.folder.parent / f".qibai-{node}-999999999.partial" for node in (kept.cli.config.node, "n9")
    ]
    for draft in drafts:
        draft.mkdir()
    kept.cli.run("backup", str(kept.folder.parent))
    assert [draft.exists() for draft in drafts] == [False, True]
    drafts[1].rmdir()


def test_a_machine_that_lacks_a_key_makes_no_backup_and_calls_nothing_forged(kept: Kept) -> None:
    """Keys were rotated on another machine: its own key file would not open the backup."""
    config = kept.cli.config
    old = config.key_file.read_bytes()
    rotate_values(dsn(config), Keyring.load(config.key_file), settle_s=0)
    new = config.key_file.read_bytes()
    config.key_file.write_bytes(old)
    try:
        refused = kept.cli.run("backup", str(kept.folder.parent), status=1).stderr
        assert "has no value key 2, which this database needs" in refused
        found = {one["name"]: one["state"] for one in kept.cli.json("doctor", status=1)["checks"]}
        assert {found[name] for name in ("API keys", "approvals", "audit trail")} == {"skip"}
        assert found["keys"] == "fail"
    finally:
        config.key_file.write_bytes(new)
    kept.cli.run("backup", str(kept.folder.parent))


def test_what_the_database_lacks_comes_from_the_spool(kept: Kept, tmp_path: Path) -> None:
    """While a backup holds the spool, the recorder removes nothing there; the copy has what is in it."""
    spool = kept.cli.config.spool_dir
    wait_for(spool.is_dir, "the spool")
    (spool / "voice-1-1.events").write_bytes(b"")
    said = kept.cli.json("backup", str(tmp_path))
    assert (Path(said["folder"]) / "home" / "spool" / "voice-1-1.events").exists()


def test_doctor_knows_how_old_the_last_backup_is(kept: Kept) -> None:
    def finding(**env: str) -> dict[str, str]:
        said = json.loads(kept.cli.run("doctor", "--json", status=None, **env).stdout)
        (found,) = [one for one in said["checks"] if one["name"] == "backup"]
        return found

    assert finding()["state"] == "ok"
    note = kept.cli.home / "backup.json"
    whole = note.read_text()
    try:
        state = json.loads(whole)
        note.write_text(json.dumps(state | {"made_at": "2020-01-01T00:00:00Z"}))
        assert finding()["state"] == "warn"
        assert finding(QIBAI_BACKUP_MAX_AGE_H="0")["state"] == "skip"
        note.unlink()
        assert finding()["state"] == "warn"
    finally:
        note.write_text(whole)
