"""Coverage-guided fuzzing of all that reads CMPP. ``make fuzz``, or ``python tests/fuzz/fuzz_cmpp.py``."""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qibai.messaging.cmpp", "qibai.core.text"]):
    import cmpp_checks
    import cmpp_samples


def test_one(data: bytes) -> None:
    cmpp_checks.check(data)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="qibai-fuzz-") as folder:
        for number, frame in enumerate(cmpp_samples.MESSAGES + cmpp_samples.OTHERS):
            (Path(folder) / f"sample-{number}").write_bytes(frame)
        atheris.Setup([sys.argv[0], "-max_len=8192", "-timeout=10", folder, *sys.argv[1:]], test_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
