"""Coverage-guided fuzzing of short messages' text: only BadText is raised, parts come back whole, masks hold.

``make fuzz``, or ``python tests/fuzz/fuzz_text.py -max_total_time=60``.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qibai.core.text"]):
    from qibai.core.text import (
        BadText,
        Encoding,
        Part,
        decode,
        encode,
        find_numbers,
        join,
        mask,
        read_udh,
        split,
        unpack7,
    )

_ENCODINGS = list(Encoding)
_SEEDS = (
    b"\x00hello \x1b\x65",
    b"\x02\x4e\x2d\xd8\x3d\xde\x00",
    b"\x03\xd6\xd0\x84\x31\xa4\x37",
    bytes.fromhex("00050003a50302") + b"text",
    bytes.fromhex("00060804a55a0302") + b"text",
    "\x02一三八〇 0013-８０００".encode(),
)


def test_one(data: bytes) -> None:
    if not data:
        return
    encoding, data = _ENCODINGS[data[0] % len(_ENCODINGS)], data[1:]
    assert join(split(data, encoding, wide=bool(len(data) & 1))[::-1]).data == data
    try:
        concat, rest = read_udh(data)
        assert data.endswith(rest)
        assert concat is None or 1 <= concat.seq <= concat.total
    except BadText:
        pass
    try:
        unpack7(data, len(data) * 8 // 7)
        text = decode(Part(data, encoding))
        if encoding is not Encoding.GSM7:  # which has two ways to write some characters
            assert encode(text, encoding) == data or encoding is Encoding.GBK
    except BadText:
        text = data.decode(errors="ignore")
    assert not find_numbers(mask(text))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="qibai-fuzz-") as folder:
        for number, seed in enumerate(_SEEDS):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        atheris.Setup([sys.argv[0], "-max_len=2048", "-timeout=10", folder, *sys.argv[1:]], test_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
