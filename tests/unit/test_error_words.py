"""Every stable code has a sentence in English and in Chinese, and a request's mistakes are named."""

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from qibai.api.errorpage import page, sentences
from qibai.api.errors import FieldError, Invalid
from qibai.api.problems import LANGUAGE, STATUS, language_of, problem_of, wrong
from qibai.cli.language import said_in_chinese, speaks_chinese
from qibai.core.chinese import SENTENCES, TITLES
from qibai.core.errors import LifetimeWrong, NumberTaken

ROOT = Path(__file__).parents[2]


def test_every_code_is_said_in_both_languages() -> None:
    assert set(SENTENCES) - {"usage", "system"} == set(STATUS) == set(sentences())
    assert set(TITLES) == set(STATUS.values())
    assert all(any("\u4e00" <= one <= "\u9fff" for one in text) for text in SENTENCES.values())


def test_the_page_of_errors_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "errors.md").read_text("utf-8") == page()


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("fr, zh;q=0.5", "zh"),
        ("zh;q=0", "en"),
        ("*", "en"),
        ("zh;q=nonsense", "en"),
        ("zh,en", "zh"),
        ("en,zh", "en"),
    ],
)
def test_the_language_that_is_preferred(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


def test_a_problem_in_chinese_keeps_code_and_what_is_known_exactly() -> None:
    token = LANGUAGE.set("zh")
    try:
        plain = problem_of(NumberTaken(field="x"))
        exact = problem_of(LifetimeWrong("a call lasts at most 14400 s", field="max_call_s"))
        invalid = problem_of(Invalid([FieldError("ttl", "request_invalid", "give at least 1")]))
    finally:
        LANGUAGE.reset(token)
    assert (plain.code, plain.title) == ("number_taken", "冲突")
    assert plain.detail == "指定的号码对这些绑定方不可用。"
    assert exact.detail == "一次通话最长 14400 秒"
    assert invalid.errors[0].message == "应填写不小于 1"


@pytest.mark.parametrize(
    ("variables", "chinese"),
    [
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_CN.UTF-8", "QIBAI_LANG": "en"}, False),
        ({"LANG": "C", "QIBAI_LANG": "zh"}, True),
        ({}, False),
    ],
)
def test_the_language_of_the_command_line(variables: dict[str, str], chinese: bool) -> None:
    assert speaks_chinese(variables) is chinese


def test_what_is_not_in_the_catalogue_stays_as_it_is() -> None:
    said = said_in_chinese("lifetime_invalid", "Something new.")
    assert said == "有效期必须大于零，且不超过配置的上限。（Something new.）"
    assert said_in_chinese("a_new_code", "Something new.") == "Something new."


class _Inner(msgspec.Struct, forbid_unknown_fields=True):
    id: int


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    many: Annotated[list[_Inner], msgspec.Meta(max_length=2)] = []
    count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    name: Annotated[str, msgspec.Meta(max_length=3, pattern="^[a-z]*$")] = ""
    either: int | None = None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"count": 1001}', ("count", "give at most 1000")),
        ('{"count": 0}', ("count", "give at least 1")),
        ('{"count": "1"}', ("count", "give a whole number")),
        ('{"either": "1"}', ("either", "give a whole number or null")),
        ('{"name": "abcd"}', ("name", "give at most 3 characters")),
        ('{"name": "A"}', ("name", "it does not have the documented form")),
        ('{"many": [{"id": 1}, {"id": 1}, {"id": 1}]}', ("many", "give at most 2 items")),
        ('{"many": [{}]}', ("many[0].id", "this field is missing")),
        ('{"colour": 1}', ("colour", "there is no such field")),
        ('{"many": [{"id": 1, "x\\u001by": 1}]}', ("many[0].x?y", "there is no such field")),
        ('{"13800138000": 1}', ("138****8000", "there is no such field")),
        ("[]", ("", "give an object")),
    ],
)
def test_a_mistake_is_named_with_its_limit(body: str, said: tuple[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=_Body)
    assert wrong(str(caught.value)) == said
