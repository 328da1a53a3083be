"""Coverage-guided fuzzing of all that reads SMPP. ``make fuzz``, or ``python tests/fuzz/fuzz_smpp.py``."""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qibai.messaging.smpp", "qibai.core.text"]):
    import smpp_checks
    import smpp_samples


def test_one(data: bytes) -> None:
    smpp_checks.check(data)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="qibai-fuzz-") as folder:
        for number, frame in enumerate(smpp_samples.MESSAGES + smpp_samples.OTHERS):
            (Path(folder) / f"sample-{number}").write_bytes(frame)
        atheris.Setup([sys.argv[0], "-max_len=8192", "-timeout=10", folder, *sys.argv[1:]], test_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
