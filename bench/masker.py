"""Finding real numbers in texts: how many are found, how many figures of other kinds are taken for one, and
how long it takes, beside libphonenumber's matcher over the same texts."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import phonenumbers

from bench.figures import Figure, Report
from bench.masker_corpus import Text, beyond_reach, with_numbers, without_numbers
from qibai.core.text import find_numbers

_LEAST_RECALL: Final = 2.5  # times the matcher's
_HOSTILE: Final = {"digits": "1380", "digits with spaces": "1 3 8 0 "}
_HOSTILE_LENGTH: Final = 20_000

Finder = Callable[[str], set[str]]


def run(report: Report, *, texts: int, seed: int) -> None:
    """Recall, false positives, and time of both, over ``texts`` texts of each sort."""
    written = list(with_numbers(seed, texts))
    others = list(without_numbers(seed + 1, texts))
    hidden = list(beyond_reach(seed + 2, max(texts // 20, 20)))
    _ours("13800138000")
    _theirs("13800138000")  # loads its tables

    name = f"numbers found, of {sum(len(text.numbers) for text in written):,}"
    ours, theirs = _recall(written, _ours), _recall(written, _theirs)
    report.add(Figure("masker", name, "%", [ours], "libphonenumber", [theirs], at_least=_LEAST_RECALL))
    for kind, missed in _missed(written, _ours).most_common():
        report.say(f"masker: {kind}: {missed:.1%} missed")
    name = f"other figures taken for a number, of {texts:,} texts"
    ours, theirs = _false(others, _ours), _false(others, _theirs)
    report.add(Figure("masker", name, "%", [ours], "libphonenumber", [theirs], at_most=1))
    for kind, taken in _taken(others, _ours).most_common():
        report.say(f"masker: {kind}: {taken:.1%} taken for a number")
    name = "numbers found in pinyin, words, homophones, riddles"
    ours, theirs = _recall(hidden, _ours), _recall(hidden, _theirs)
    report.add(Figure("masker", name, "%", [ours], "libphonenumber", [theirs]))

    everything = [text.text for text in written + others]
    spent = _time(everything, _ours), _time(everything, _theirs)
    name = "time a text"
    report.add(Figure("masker", name, "µs", [spent[0]], "libphonenumber", [spent[1]], at_most=1))
    for kind, piece in _HOSTILE.items():
        text = (piece * _HOSTILE_LENGTH)[:_HOSTILE_LENGTH]
        spent = _time([text], _ours) / 1_000, _time([text], _theirs) / 1_000
        name = f"{_HOSTILE_LENGTH:,} characters of {kind}"
        report.add(Figure("masker", name, "ms", [spent[0]], "libphonenumber", [spent[1]], at_most=1))
    text = "1380" * 250_000
    report.add(Figure("masker", "1,000,000 digits", "ms", [_time([text], _ours) / 1_000]))


def _ours(text: str) -> set[str]:
    return {span.national for span in find_numbers(text)}


def _theirs(text: str) -> set[str]:
    """With the leniency ``VALID``, which is its default."""
    return {
        str(match.number.national_number)
        for match in phonenumbers.PhoneNumberMatcher(text, "CN")
        if match.number.country_code == 86
    }


def _recall(texts: Iterable[Text], find: Finder) -> float:
    wanted, found = 0, 0
    for text in texts:
        wanted += len(text.numbers)
        found += len(set(text.numbers) & find(text.text))
    return 100 * found / wanted


def _false(texts: list[Text], find: Finder) -> float:
    return 100 * sum(bool(find(text.text)) for text in texts) / len(texts)


def _missed(texts: Iterable[Text], find: Finder) -> Counter[str]:
    return _shares(texts, lambda text: not set(text.numbers) <= find(text.text))


def _taken(texts: Iterable[Text], find: Finder) -> Counter[str]:
    return _shares(texts, lambda text: bool(find(text.text)))


def _shares(texts: Iterable[Text], is_wrong: Callable[[Text], bool]) -> Counter[str]:
    """By kind: the share of texts that came out wrong, where any did."""
    every, wrong = Counter[str](), Counter[str]()
    for text in texts:
        every[text.kind] += 1
        wrong[text.kind] += is_wrong(text)
    return Counter({kind: count / every[kind] for kind, count in wrong.items() if count})


def _time(texts: list[str], find: Finder) -> float:
    """Microseconds of CPU time a text."""
    start = time.process_time()
    for text in texts:
        find(text)
    return 1e6 * (time.process_time() - start) / len(texts)
