"""The configuration: later sources win, and what is wrong is named, but never shown."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

import qibai
from qibai.config import load
from qibai.core.errors import ConfigError
from qibai.settings.read import SECTIONS, survey
from qibai.settings.variables import OTHERS, variable_of
from qibai.settings.wanted import wanted

PEER = '[[voice.peers]]\nname = "west"\nhost = "192.0.2.7"\n'
LINK = '[[messaging.links]]\nname = "sms"\nprotocol = "cmpp"\nhost = "192.0.2.8"\n'


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "qibai.toml").write_text("[api]\nport = 8000\nworkers = 3\n" + PEER)
    found = load(tmp_path, {"QIBAI_API_PORT": "9000", "QIBAI_NODE": "n1"})
    assert (found.api.port, found.api.workers, found.node) == (9_000, 3, "n1")
    assert [peer.host for peer in found.voice.peers] == ["192.0.2.7"]


def test_ipv6(tmp_path: Path) -> None:
    (tmp_path / "qibai.toml").write_text(
        '[voice]\nhost = "2001:db8::1"\n' + PEER.replace("192.0.2.7", "2001:db8::7")
    )
    assert load(tmp_path, {}).voice.peers[0].host == "2001:db8::7"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[api]\nport = 'secret'\n", "api.port"),
        ("[api]\nprot = 'secret'\n", "prot"),
        ("api = 'secret'\n", "[api]"),
        ("[voice]\nhost = 'secret.example'\n", "host"),
        ("[voice]\nhost = '2001:db8::1'\n" + PEER, "host of peer west"),
        (PEER.replace("192.0.2.7", "secret.example"), "host of peer west"),
        (PEER.replace("192.0.2.7", "2001:db8::7"), "host of peer west"),
        (PEER + "sources = ['secret/8']\n", "sources of peer west"),
        (PEER + PEER, "peers: two"),
        ("[voice]\nudp_port = 30060\n", "udp_port: 30060"),
        ("[voice]\nmedia_ng_port = 39999\n", "media_ng_port: 39999"),
        ("[voice]\nhost = '192.0.2.7'\n" + PEER + "port = 30000\n", "port of peer west: 30000"),
        ("[voice]\nmedia_port_min = 40000\n", "media_port_min"),
        ("[pilot]\nnotice = 'secret'\n", "notice"),
        ("[dual]\nvalid_s = 5\n", "dual.valid_s"),
        ("[api\n", "qibai.toml"),
    ],
)
def test_a_mistake_is_named_and_its_value_is_not_shown(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / "qibai.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert key in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[api]\nport = 99999\n", "api.port: give a whole number from 1 to 65535"),
        ("[voice]\nudp_port = -1\n", "voice.udp_port: give a whole number from 0 to 65535"),
        ("[voice]\nmedia_timeout_s = 0\n", "voice.media_timeout_s: give a whole number from 1 to 86400"),
        ("[voice]\nring_timeout_s = -5\n", "voice.ring_timeout_s: give a whole number from 1 to 3600"),
        ("[store]\nconnect_timeout_s = 0\n", "store.connect_timeout_s: give a whole number from 1 to 3600"),
        ("[messaging]\ncontent = 'all'\n", "messaging.content: give one of masked, none, full"),
        (PEER + "transport = 'sctp'\n", "[[voice.peers]] west: transport: give one of udp, tcp, tls"),
        (PEER + "port = 0\n", "[[voice.peers]] west: port: give a whole number from 1 to 65535"),
        ("[[voice.peers]]\nname = 'west'\n", "[[voice.peers]] west: host: it is missing"),
        ("[voice]\nupd_port = 5060\n", "did you mean voice.udp_port?"),
        ("[vioce]\n", "did you mean voice?"),
        ("[binding]\ndefault_ttl_s = 10\nmax_ttl_s = 5\n", "binding.default_ttl_s and binding.max_ttl_s"),
        ("[voice]\nmin_se_s = 1800\nsession_expires_s = 90\n", "voice.min_se_s and voice.session_expires_s"),
        ("[voice]\nhost = '0.0.0.0'\n", "voice.host: peers have to see one address"),
        ("[voice]\nhost = '::'\n", "voice.host: peers have to see one address"),
        ("[voice]\nudp_port = 0\ntcp_port = 0\n", "all are off"),
        ("[voice]\ntls_port = 5061\n", "a TLS port needs a certificate"),
        ("[api]\ntls_cert = '/x.pem'\n", "api.tls_cert and api.tls_key: they belong together"),
        ("[api]\nport = 5060\n", "api.port and voice.tcp_port: both are TCP port 5060"),
        ("[messaging]\nsip_port = 2223\n", "messaging.sip_port and voice.media_ng_port"),
        ("[messaging]\nsip_port = 30064\n", "messaging.sip_port: 30064 is among the ports for media"),
        ("[voice]\nmedia_port_max = 30000\n", "media_port_min and voice.media_port_max: give a range"),
        ("[voice]\nmedia_port_max = 30003\n", "a call takes four; give 40 or more"),
        ("[api]\nworkers = 100000\n", "api.workers: give a whole number from 1 to 256"),
        ("[voice]\nworkers = 100000\n", "voice.workers: give a whole number from 1 to 256"),
        ("[retention]\ncalls_days = 100000000000\n", "calls_days: give a whole number from 183 to 36600"),
        ("[pilot]\nformal_months = 100000\n", "pilot.formal_months: give a whole number from 0 to 1200"),
        ("[pilot]\nnotice = '9999-12-31'\n", "pilot.notice: give a date, YYYY-MM-DD, of the years 2000"),
        ("[api]\nhead_s = 0\n", "api.head_s: give a number above 0, at most 3600"),
        ("[api]\nbody_s = inf\n", "api.body_s: give a number above 0, at most 3600"),
        ("[api]\nbody_s = nan\n", "api.body_s: give a number above 0, at most 3600"),
        ("[api]\nhost = ''\n", "api.host: give an IP address or a host's name"),
        ("[api]\npublic_url = 'qibai.example'\n", "api.public_url: give an address as https://host"),
        ("[api]\nmetrics_from = ['10.0.0.0/99']\n", "api.metrics_from: give addresses or CIDR blocks"),
        ("[messaging]\nhook_networks = ['10.0.0.0/99']\n", "hook_networks: give addresses or CIDR blocks"),
        (PEER.replace("west", " "), "name: give 1 to 64 characters, not only spaces"),
        (PEER.replace("west", "a\\nb"), "without control characters"),
        (PEER.replace("west", "a" * 3_000), "name: give 1 to 64 characters"),
        (LINK + "answer_s = 0\n", "answer_s: give a whole number from 1 to 3600, or leave it out"),
        (LINK + "prefixes = ['+86']\n", "prefixes of link sms: give the first digits of numbers"),
        (LINK.replace("192.0.2.8", "a b"), "host of link sms: give an IP address or a host's name"),
        ("node = ' '\n", "node: give 1 to 64 characters"),
        ('[store]\ndsn = "a\\u0000b"\n', "store.dsn: its value holds a NUL character"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_what_to_give(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "qibai.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"QIBAI_API_PORT": "99999"}, "variable QIBAI_API_PORT: api.port: give a whole number from 1"),
        (
            {"QIBAI_API_PROT": "7000"},
            "variable QIBAI_API_PROT: there is no such variable; did you mean QIBAI_API_PORT?",
        ),
        ({"QIBAI_VOICE_PEERS": "x"}, "variable QIBAI_VOICE_PEERS: this is given in the file only"),
        ({"QIBAI_VOICE_HOST": "0.0.0.0"}, "variable QIBAI_VOICE_HOST: voice.host: peers have to see"),  # noqa: S104
        ({"QIBAI_BINDING_MAX_TTL_S": "5"}, "variable QIBAI_BINDING_MAX_TTL_S"),
        ({"QIBAI_VOICE_UDP_PORT": "30100"}, "variable QIBAI_VOICE_UDP_PORT: voice.udp_port: 30100"),
    ],
)
def test_a_mistake_in_a_variable_blames_the_variable(
    tmp_path: Path, variables: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, variables)
    assert says in caught.value.message


def test_a_variable_may_hold_a_list(tmp_path: Path) -> None:
    found = load(tmp_path, {"QIBAI_MESSAGING_HOOK_NETWORKS": "10.0.0.0/8, 192.168.0.0/16"})
    assert found.messaging.hook_networks == ["10.0.0.0/8", "192.168.0.0/16"]


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "qibai.toml").write_text("[api]\nport = 99999\nprot = 1\n[voice]\nmedia_timeout_s = 0\n")
    found = survey(tmp_path, {"QIBAI_NOBODY": "1"}).mistakes
    assert {one.key for one in found} == {"api.port", "api.prot", "voice.media_timeout_s", ""}
    with pytest.raises(ConfigError, match="and 3 more"):
        load(tmp_path, {"QIBAI_NOBODY": "1"})


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"[api]\n# \xff\n"), "is not UTF-8 (line 2)"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, make: Callable[[Path], object], says: str) -> None:
    make(tmp_path / "qibai.toml")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert says in caught.value.message


def test_a_date_may_stand_without_quotes_and_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "qibai.toml").write_bytes(b"\xef\xbb\xbf[pilot]\r\nnotice = 2026-06-01\r\n")
    assert load(tmp_path, {}).pilot.notice == "2026-06-01"


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        load(tmp_path / "home", {})


def test_every_number_has_a_least_and_a_most() -> None:
    for section, kind in SECTIONS.items():
        for field in msgspec.structs.fields(kind):
            if field.type in (int, float):
                pytest.fail(f"{section}.{field.name} takes any number")
            said = wanted(field.type)
            assert "number" not in said or re.search("from -?[0-9]+ to [0-9]+|above 0, at most", said), said


@pytest.mark.parametrize(
    "key",
    [
        f"{section}.{field.name}"
        for section, kind in SECTIONS.items()
        for field in msgspec.structs.fields(kind)
    ],
)
def test_the_longest_span_of_each_key_is_one_that_python_and_postgresql_can_add(key: str) -> None:
    section, name = key.split(".")
    (field,) = (one for one in msgspec.structs.fields(SECTIONS[section]) if one.name == name)
    found = re.search(r"to ([0-9]+)$", wanted(field.type))
    unit = {"s": "seconds", "ms": "milliseconds", "days": "days", "h": "hours"}.get(name.rpartition("_")[2])
    if found and unit:
        assert datetime.now(UTC) + timedelta(**{unit: int(found[1])}) < datetime(9000, 1, 1, tzinfo=UTC)


def test_every_variable_in_the_source_is_known() -> None:
    root = Path(qibai.__file__).parent
    named = {
        name
        for path in root.rglob("*.py")
        for name in re.findall(r"QIBAI_[A-Z][A-Z_]*[A-Z]|QIBAI_[A-Z]\b", path.read_text("utf-8"))
    }
    keys = {
        variable_of(section, field.name)
        for section, kind in SECTIONS.items()
        for field in msgspec.structs.fields(kind)
    }
    assert named - keys - OTHERS <= {"QIBAI_API_PORT"}
