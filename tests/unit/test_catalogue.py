"""Every text that people read has its Chinese: errors, fields of problems, findings, help and output."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import typer
from said_texts import said

from qibai.cli.app import app
from qibai.cli.chinese_help import paragraphs
from qibai.cli.commands import ENTRIES as COMMANDS
from qibai.config import Config
from qibai.core.catalogue import FILE, chinese, read
from qibai.settings.wanted import wanted

ROOT: Final = Path(__file__).parents[2]
ENTRIES: Final = list(read(FILE.read_text("utf-8")))
ENGLISH: Final = {english for english, _ in ENTRIES}
_VALUE: Final = re.compile(r"\{\d\}")
#: Commands, addresses and names, which are the same in both languages.
_SAME: Final = re.compile(
    r"(qibai|chmod|scripts/|https?:)[^;]*|manifest\.json|demo(-callee)?|api|kamailio|CPU|pid|--api-url: \{0\}"
    r"|20[-0-9T:+]+|e?[^a-z]*\{\d\}|\{\{number\}\}|API +\{0\}/v1|At the door.*"
)
#: Texts of Typer, which our source does not hold.
TYPERS: Final = {
    *("Usage: ", "Options", "Arguments", "Commands", "[default: {0}]", "[env var: {0}]", "[required]"),
    *("Show this message and exit.", "Missing command.", "Missing argument {0}.", "Missing option {0}."),
    *("Missing option {0} (env var: {1}).", "No such command {0}.", "No such option: {0}"),
    *("No such command {0}. Did you mean {1}?", "No such option: {0} (Possible options: {1})"),
    *("Invalid value for {0}: {1}", "Invalid value for {0} (env var: {1}): {2}", "Invalid value: {0}"),
    *("Got unexpected extra argument(s) ({0})", "Option {0} requires an argument."),
    *("Option {0} does not take a value.", "Value error, {0}", "{0} is not one of {1}."),
    "Input should be a valid integer, unable to parse string as an integer",
    *("Input should be greater than or equal to {0}", "Input should be less than or equal to {0}"),
}
#: Texts that are put together when they are shown, and their parts.
BUILT: Final = {
    # api.problems and settings.wanted: what a value has to be
    *("text", "true or false", "a number", "a whole number", "a list", "an object"),
    *("a whole number from {0} to {1}", "a whole number at least {0}", "a whole number at most {0}"),
    *("a number from {0} to {1}", "a number at least {0}", "a number above {0}"),
    *("a number above {0}, at most {1}", "a time by RFC 3339, with a UTC offset"),
    *("blocks of their own, [[…]]", "a list, each {0}", "one of {0}", "{0}, or leave it out"),
    *(f"{more} {{0}}{of}" for more in ("at least", "at most") for of in ("", " items", " characters")),
    *("more than {0}", "less than {0}"),
    # settings: keys that went elsewhere, the variable that sets a key, the name of a node
    *("it is kept in the database now", "`qibai dual rule 1` or `qibai dual rule 2` sets it"),
    *("variable {0}", "give 1 to {0} characters, not only spaces, without control characters"),
    # a port, a decision, and what was done for an application
    *("{0} port {1}", "connect", "refuse", "application {0} is granted"),
}
#: The same texts as the source has them.
_PARTS: Final = {" characters", " items", "give {0} {1}{2}", "did you mean {0}{1}?"}
#: Texts without a word to translate, but for the sign between their parts.
_ALIKE: Final = {"qibai {0}, Python {1}, {2}", "[[messaging.links]] {0}", "Value error, {0}"}


def test_every_text_has_its_chinese() -> None:
    found = {one.text: one.place for one in said()} | dict.fromkeys(helps(), "help")
    needed = {text: place for text, place in found.items() if not _SAME.fullmatch(text)}
    missing = {text: place for text, place in needed.items() if text not in ENGLISH | _PARTS}
    assert missing == {}, "write them into src/qibai/core/zh_CN.po"
    assert ENGLISH - set(found) - TYPERS - BUILT == set(), "nobody says these: take them out of zh_CN.po"


def test_every_entry_is_complete() -> None:
    assert len(ENTRIES) == len(ENGLISH)
    for english, translated in ENTRIES:
        assert sorted(set(_VALUE.findall(english))) == sorted(set(_VALUE.findall(translated))), english
        assert re.search("[\u4e00-\u9fff]", translated) or english in _ALIKE, english
        assert english[:1].isspace() == translated[:1].isspace(), english


def test_every_text_is_found_with_its_values() -> None:
    for english, translated in ENTRIES:
        values = [f"<{place}>" for place in range(len(set(_VALUE.findall(english))))]
        assert chinese(english.format(*values)) == translated.format(*values)


def helps() -> Iterator[str]:
    """Each paragraph of each command's help, and the help of each argument and option."""
    yield "Example: "
    yield from (one.panel for one in COMMANDS)
    commands: list[Any] = [typer.main.get_command(app)]
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        for text in (command.help, *(getattr(one, "help", None) for one in command.params)):
            yield from (_escaped(words) for words, _ in paragraphs(text) if words)


def test_every_command_for_people_has_an_example() -> None:
    groups: list[tuple[str, Any]] = [("qibai", typer.main.get_command(app))]
    for path, group in groups:
        for name, command in group.commands.items():
            if command.hidden:
                continue
            if getattr(command, "commands", None):
                groups.append((f"{path} {name}", command))
            else:
                examples = [example for _, example in paragraphs(command.help) if example]
                words = [*path.split(), name]
                assert any(set(words) <= set(example.split()) for example in examples), words


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _kinds() -> Iterator[Any]:
    for section in msgspec.structs.fields(Config):
        fields = (
            msgspec.structs.fields(section.type)
            if isinstance(section.type, type) and issubclass(section.type, msgspec.Struct)
            else ()
        )
        yield from (field.type for field in fields)


def test_what_a_key_of_the_configuration_wants_is_said_in_chinese() -> None:
    for kind in _kinds():
        said_in_chinese = chinese(f"give {wanted(kind)}")
        assert not re.search(
            r"\b(give|whole|number|text|from|least|most|above|list|each|leave)\b", said_in_chinese
        )


@pytest.mark.parametrize(
    ("english", "translated"),
    [
        ("give at most 3 characters", "应填写至多 3 个字符"),
        ("give a whole number or null", "应填写整数或null"),
        (
            "/etc/qibai.toml: voice.udp_port: give a whole number from 0 to 65535",
            "/etc/qibai.toml：voice.udp_port：应填写0 到 65535 的整数",
        ),
        ("a.b: this field is missing; c: there is no such field", "a.b：缺少这个字段；c：没有这个字段"),
        (
            "the database does not answer; start the platform with `qibai up`, or correct store.dsn",
            "数据库没有应答；请用 `qibai up` 启动平台，或改正 store.dsn",
        ),
        ("a text that nobody wrote", "a text that nobody wrote"),
    ],
)
def test_parts_of_a_text_are_translated_too(english: str, translated: str) -> None:
    assert chinese(english) == translated


def _run(*args: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "qibai", *args],
        env=os.environ | {"COLUMNS": "160", "QIBAI_LANG": "en"} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_help_is_in_the_language_of_the_user() -> None:
    for args in (("--help",), ("calls", "--help"), ("tenant", "--help"), ("tenant", "key", "add", "--help")):
        shown = _run(*args, QIBAI_LANG="zh")
        assert "用法：" in shown and "显示本帮助。" in shown and "选项" in shown
        assert not re.search("Usage|Options|Arguments|Commands|Show this|default:|required|Example", shown)
    assert "列出话单" in _run("--help", QIBAI_LANG="zh") and "业务" in _run("--help", QIBAI_LANG="zh")
    assert "示例：qibai calls --refused --since 1h" in _run(
        "calls", "--help", LC_ALL="zh_CN.UTF-8", QIBAI_LANG=""
    )
    assert "List call records" in _run("--help", LC_ALL="zh_CN.UTF-8")


def test_mistakes_on_the_command_line_are_named_in_chinese(tmp_path: Path) -> None:
    assert _run("calls", "--limit", "0", QIBAI_LANG="zh").strip() == (
        "错误 usage: '--limit'（环境变量 'QIBAI_LIMIT'）的值无效：不应小于 1"
    )
    assert _run("release", QIBAI_LANG="zh").strip() == "错误 usage: 缺少参数 'binding'。"
    home = str(tmp_path)
    (tmp_path / "qibai.toml").write_text("[voice]\nudp_prt = 5060\nmin_se_s = 'x'\n")
    shown = _run("--home", home, "config", "check", QIBAI_LANG="zh")
    assert "voice.udp_prt：没有这个配置项" in shown and "处理：是否想写 voice.udp_port？" in shown
    english, chinese_too = (
        json.loads(_run("--home", home, "config", "check", "--json", QIBAI_LANG=language))
        for language in ("en", "zh")
    )
    known = {"voice.udp_prt", "voice.min_se_s"}  # what other software on this machine holds comes and goes
    in_english, in_chinese = (
        [mistake for mistake in said["mistakes"] if mistake["key"] in known]
        for said in (english, chinese_too)
    )
    assert in_english and in_english == in_chinese
