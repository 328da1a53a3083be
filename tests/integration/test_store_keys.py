"""The key file and what is done with its keys."""

import json
import multiprocessing
import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qibai.core.errors import KeyFileError, KeyUnknown, SealBroken
from qibai.core.numbering import Msisdn
from qibai.core.token import seal, unseal
from qibai.store import crypto, keyfile
from qibai.store.keys import Keyring, binding_aad
from qibai.store.rotation import use_next_token_key

A = Msisdn("+8613800138000")
AAD = binding_aad(12345678, 1)


def _add_value_key(path: Path) -> None:
    def change(content: keyfile.KeyFile) -> None:
        content.value.current = keyfile.next_key(content.value, crypto.VALUE_KEY_BYTES)

    keyfile.update(path, change)


def _edit(path: Path, section: str, **fields: object) -> None:
    content = json.loads(path.read_text())
    content[section].update(fields)
    path.write_text(json.dumps(content))


def test_a_new_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.json"
    old = os.umask(0)
    try:
        Keyring.load_or_create(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["keys.json"]


def test_the_file_stays_the_owners_after_a_change(keyring: Keyring) -> None:
    use_next_token_key(keyring)
    assert stat.S_IMODE(keyring.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o601])
def test_a_file_open_to_others_is_refused(keyring: Keyring, mode: int) -> None:
    keyring.path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        Keyring.load(keyring.path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="missing"):
        Keyring.load(tmp_path / "keys.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"value": 1}'])
def test_a_damaged_file_is_refused(keyring: Keyring, text: str) -> None:
    keyring.path.write_text(text)
    with pytest.raises(KeyFileError, match="not a key file"):
        Keyring.load(keyring.path)


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        ("value", {"current": 2}),
        ("hash", {"next": 7}),
        ("token", {"keys": {"1": "AAAA"}}),
        ("value", {"keys": {"1": "AAAAAAAAAAAAAAAAAAAAAA==", "x": "AAAAAAAAAAAAAAAAAAAAAA=="}}),
        ("value", {"keys": {"1": "AAAAAAAAAAAAAAAAAAAAAA==", "65536": "AAAAAAAAAAAAAAAAAAAAAA=="}}),
    ],
)
def test_keys_that_do_not_fit_are_refused(keyring: Keyring, section: str, fields: dict) -> None:
    _edit(keyring.path, section, **fields)
    with pytest.raises(KeyFileError, match=f"section {section}"):
        Keyring.load(keyring.path)


def _create(path: Path) -> bytes:
    return Keyring.load_or_create(path).blind(A)


def test_processes_that_create_it_at_once_get_the_same_keys(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        blinds = pool.map(_create, [tmp_path / "keys.json"] * 6)
    assert len(set(blinds)) == 1


def test_what_is_sealed_opens_again_and_never_looks_alike(keyring: Keyring) -> None:
    blobs = [keyring.seal(str(A), AAD) for _ in range(100)]
    assert {keyring.open(blob, AAD) for blob in blobs} == {str(A)}
    assert len(set(blobs)) == 100
    assert all(len(blob) == len(str(A)) + crypto.OVERHEAD for blob in blobs)
    assert not any(b"138001" in blob for blob in blobs)


@settings(max_examples=50)
@given(text=st.text(max_size=300), aad=st.binary(max_size=40))
def test_any_text_comes_back(keyring: Keyring, text: str, aad: bytes) -> None:
    assert keyring.open(keyring.seal(text, aad), aad) == text


def test_any_changed_bit_breaks_the_seal(keyring: Keyring) -> None:
    blob = keyring.seal(str(A), AAD)
    for position in range(len(blob)):
        for bit in (1, 128):
            changed = bytearray(blob)
            changed[position] ^= bit
            with pytest.raises(KeyUnknown if position < 2 else SealBroken):  # the first octets name the key
                keyring.open(bytes(changed), AAD)


@pytest.mark.parametrize("length", [0, 1, 14, crypto.OVERHEAD - 1, crypto.OVERHEAD])
def test_a_cut_blob_is_broken(keyring: Keyring, length: int) -> None:
    with pytest.raises(SealBroken):
        keyring.open(keyring.seal(str(A), AAD)[:length], AAD)


@pytest.mark.parametrize("other", [b"", binding_aad(12345678, 2), binding_aad(12345679, 1)])
def test_a_value_moved_to_another_row_is_broken(keyring: Keyring, other: bytes) -> None:
    with pytest.raises(SealBroken):
        keyring.open(keyring.seal(str(A), AAD), other)


def test_what_a_newer_key_sealed_opens_in_an_older_keyring(keyring: Keyring) -> None:
    other = Keyring.load(keyring.path)
    old = keyring.seal("old", AAD)
    _add_value_key(keyring.path)
    assert other.reload_if_changed()
    assert not other.reload_if_changed()
    blob = other.seal("new", AAD)
    assert crypto.sealed_key_id(blob) == 2
    assert keyring.value_id == 1
    assert keyring.open(blob, AAD) == "new"
    assert keyring.value_id == 2
    assert other.open(old, AAD) == "old"


def test_an_unknown_token_key_is_looked_for_in_the_file(keyring: Keyring) -> None:
    other = Keyring.load(keyring.path)
    id = use_next_token_key(keyring)
    assert other.token_key(id) == keyring.current_token_key[1]
    with pytest.raises(KeyUnknown):  # a rotation on another node may have made it just now
        other.token_key(9)
    with pytest.raises(SealBroken):
        other.token_key(99)
    with pytest.raises(KeyUnknown):
        other.blind_by(9, A)


def test_a_vanished_file_leaves_the_keyring_working(keyring: Keyring) -> None:
    blob = keyring.seal("x", AAD)
    keyring.path.unlink()
    assert not keyring.reload_if_changed()
    assert keyring.open(blob, AAD) == "x"


def test_blind_indexes_are_per_key(keyring: Keyring, tmp_path: Path) -> None:
    assert keyring.blind(A) == Keyring.load(keyring.path).blind(A)
    assert len(keyring.blind(A)) == 16
    assert keyring.blind(A) != keyring.blind(Msisdn("+8613800138001"))
    assert keyring.blind(A) != Keyring.load_or_create(tmp_path / "other.json").blind(A)
    assert keyring.blind_next(A) is None


def test_the_hash_is_hmac_sm3() -> None:
    """The value is from OpenSSL's command line: openssl dgst -sm3 -mac HMAC -macopt hexkey:00…"""
    assert crypto.blinder(bytes(32))(b"+8613800138000").hex() == "320770780a0ff2c0af3fe27340e36503"


def test_another_file_in_its_place_changes_nothing_and_the_right_one_is_taken(
    keyring: Keyring, tmp_path: Path
) -> None:
    """What would be sealed with the keys of another database, nobody could read later."""
    aad = binding_aad(1, 2)
    right = tmp_path / "right.json"
    shutil.copy2(keyring.path, right)
    keyfile.create(tmp_path / "other.json")
    shutil.copy2(tmp_path / "other.json", keyring.path)
    assert not keyring.reload_if_changed()
    sealed = keyring.seal("+8613800138000", aad)
    shutil.copy2(right, keyring.path)
    use_next_token_key(Keyring.load(keyring.path))
    assert keyring.reload_if_changed() and keyring.current_token_key[0] == 2
    assert Keyring.load(keyring.path).open(sealed, aad) == "+8613800138000"


def test_prepared_keys_are_used_by_nobody_until_a_rotation_takes_them(keyring: Keyring) -> None:
    assert (
        keyfile.prepare(keyring.path) == keyfile.prepare(keyring.path) == {"value": 2, "hash": 2, "token": 2}
    )
    keyring.reload_if_changed()
    assert (keyring.value_id, keyring.hash_id, keyring.next_hash_id, keyring.current_token_key[0]) == (
        1,
        1,
        None,
        1,
    )
    assert use_next_token_key(keyring) == 2
    assert keyfile.prepare(keyring.path) == {"value": 2, "hash": 2, "token": 3}


def test_what_is_sealed_under_a_key_that_is_not_here_yet_is_not_broken(
    keyring: Keyring, tmp_path: Path
) -> None:
    path = tmp_path / "other" / "keys.json"
    path.parent.mkdir()
    shutil.copy(keyring.path, path)
    other = Keyring.load(path)
    _add_value_key(keyring.path)
    keyring.reload_if_changed()
    blob = keyring.seal(str(A), AAD)
    with pytest.raises(KeyUnknown):
        other.open(blob, AAD)
    shutil.copy(keyring.path, path)
    assert other.open(blob, AAD) == str(A)


def test_a_file_without_our_prepared_keys_is_taken(keyring: Keyring, tmp_path: Path) -> None:
    """Nothing was sealed with them: another machine's are right."""
    copy = tmp_path / "copy.json"
    shutil.copy(keyring.path, copy)
    keyfile.prepare(keyring.path)
    ours = Keyring.load(keyring.path)
    _add_value_key(copy)
    shutil.copy(copy, keyring.path)
    assert ours.reload_if_changed()
    assert ours.value_id == 2


def test_tokens_open_after_many_rotations(keyring: Keyring) -> None:
    """A token names its key by an octet."""
    before = ""
    for _ in range(300):
        use_next_token_key(keyring)
        assert unseal(seal(b"a call", keyring), keyring) == b"a call"
        assert not before or unseal(before, keyring) == b"a call"
        before = seal(b"a call", keyring)


def test_a_link_to_a_key_file_stays_a_link(keyring: Keyring, tmp_path: Path) -> None:
    """Machines may share the file behind it."""
    link = tmp_path / "home" / "keys.json"
    link.parent.mkdir()
    link.symlink_to(keyring.path)
    assert keyfile.prepare(link)["value"] == 2
    assert link.is_symlink()
    assert keyfile.prints(link) == keyfile.prints(keyring.path)
    assert ("value", 2) in keyfile.prints(keyring.path)
