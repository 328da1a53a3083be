"""A check of the doctor that may not read what it has to says so, and the others go on."""

from pathlib import Path

from qibai.cli.doctor.finding import Finding, guarded, ok


def test_what_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    def check() -> Finding:
        return ok("backup", tmp_path.read_text())  # a folder is no file

    (found,) = guarded("backup", check)
    assert (found.name, found.state) == ("backup", "fail")
    assert str(tmp_path) in found.says
    assert "as the platform's user" in found.mend


def test_findings_are_passed_on() -> None:
    assert guarded("codes", lambda: [ok("codes", "1"), ok("pools", "2")]) == [
        ok("codes", "1"),
        ok("pools", "2"),
    ]
    assert guarded("disk", lambda: ok("disk", "1")) == [ok("disk", "1")]
