"""Shell sessions in the docs, run again: the same words, with ids, times and days that differ."""

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

#: What differs from run to run. What is learned of the first kinds holds for the rest of the page.
_NAMES = {
    "key": r"(?:\S+：)?qb_[a-z0-9]+_\S+",
    "key's id": r"(?:key:)?[a-z0-9]{12}",
    "id": r"(?:binding:|call:)?[bc]\d{8}-[0-9a-hjkmnp-tv-z]{13}",
    "request": r"(?:request:)?[a-hj-km-np-z2-9]{10};?",
    "number": r"(?:number:)?700\d{12}",
}
_PASSING = {
    "day": r"\d{4}-\d{2}-\d{2}[),]?",
    "time": r"\d{2}:\d{2}(?::\d{2})?",
    "instant": r"\(?\d{4}-\d{2}-\d{2}T\S+",
    "hash": r"(?:\d+:)?[0-9a-f]{64}",
    "person": r"os:\S+",
}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def sessions(page: Path) -> list[tuple[str, list[str]]]:
    """(command, what the page shows of its output) of each ``$`` line in a block of no language."""
    found: list[tuple[str, list[str]]] = []
    language: str | None = None
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("```"):
            language = line[3:] if language is None else None
        elif language == "" and line.startswith("$ "):
            found.append((line[2:], []))
        elif language == "" and found and line.strip():
            found[-1][1].append(line)
    return found


class Session:
    """A shell in which a page's commands are given, one after the other; ``$ NAME=value`` is kept."""

    def __init__(self, folder: Path, env: dict[str, str], written: date, today: date) -> None:
        """``written``: the day on which the page was; days in commands move on from it."""
        self.folder, self.env, self._moved = folder, dict(env), today - written
        self._known: dict[str, str] = {}

    def run(self, command: str) -> list[str]:
        """What it prints, lines with something in them. Output of commands that fail counts as well."""
        command = self.now(command)
        if found := re.fullmatch(r"([A-Z_]+)=(\S+)", command):
            self.env[found[1]] = found[2]
            return []
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={**os.environ, **self.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        said = [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
        assert done.returncode == 0 or said, f"{command}: {done.returncode}"
        return said

    def now(self, text: str) -> str:
        """The page's ids and days as they are in this run."""
        for written, found in self._known.items():
            text = text.replace(written, found)
        return _DAY.sub(lambda day: str(date.fromisoformat(day[0]) + self._moved), text)

    def compare(self, command: str, shown: list[str], said: list[str]) -> None:
        """Every line that is shown was said, in this order; a line of `…` stands for any others."""
        where = iter(said)
        gap = False
        for line in shown:
            if line.strip() == "…":
                gap = True
                continue
            for candidate in where:
                if self._fits(line, candidate):
                    break
                assert gap, f"$ {command}\nwanted: {line}\n   got: {candidate}"
            else:
                raise AssertionError(f"$ {command}\nmissing: {line}\namong:\n" + "\n".join(said))
            gap = False
        left = list(where)
        assert gap or not left, f"$ {command}\nnot shown: {left}"

    def _fits(self, line: str, said: str) -> bool:
        wanted, found = self.now(line).split(), said.split()
        if len(wanted) != len(found):
            return False
        learned = {}
        for word, other in zip(wanted, found, strict=True):
            if word == other or any(_both(kind, word, other) for kind in _PASSING.values()):
                continue
            if not any(_both(kind, word, other) for kind in _NAMES.values()):
                return False
            learned[_bare(word)] = _bare(other)
            if re.fullmatch(_NAMES["number"], word):
                for serial in ("serial", "用户序号"):
                    learned[f"{serial} {int(word[-4:])}"] = f"{serial} {int(other[-4:])}"
        self._known |= learned
        return True


def _both(kind: str, one: str, two: str) -> bool:
    return bool(re.fullmatch(kind, one) and re.fullmatch(kind, two))


def _bare(word: str) -> str:
    return re.split("[:：]", word.rstrip(";"))[-1]
