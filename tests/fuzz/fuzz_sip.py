"""Coverage-guided fuzzing of the SIP reader and writer: no crash, no leak, nothing a second reader refuses.

``make fuzz``, or ``python tests/fuzz/fuzz_sip.py -max_total_time=60``. The samples seed the corpus.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qibai.core.sip", "qibai.voice.token"]):
    import sip_checks
    import sip_samples


def test_one(data: bytes) -> None:
    sip_checks.check(data)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="qibai-fuzz-") as folder:
        for number, text in enumerate(sip_samples.ALL):
            (Path(folder) / f"sample-{number}").write_bytes(text.encode())
        atheris.Setup([sys.argv[0], "-max_len=8192", "-timeout=10", folder, *sys.argv[1:]], test_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
