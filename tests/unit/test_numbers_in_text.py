"""Real numbers in a text: every way to write them is found, and figures of other kinds are left alone."""

import time

import phonenumbers
import pytest

from qibai.core.text import find_numbers, mask
from qibai.core.text.plan import dialled, in_use

A = "13800138000"
B = "13900139000"


def found(text: str) -> list[str]:
    return [span.national for span in find_numbers(text)]


@pytest.mark.parametrize(
    "text",
    [
        # letters and signs in the place of digits
        "138OO138OOO",
        "138🅾️🅾️138🅾️🅾️🅾️",
        "🅸38🅞🅞🅸38🅞🅞🅞",
        "138🇴🇴138🇴🇴🇴",
        "ㄧ三八零零ㄧ三八零零零",
        "l3800138000",
        "138OOl38OOO",
        "I3BOOI38OOO",
        "1З8ΟΟ1З8ΟΟΟ",
        "|38OO|38OOO",
        "138oo138ooo",
        "１３８ＯＯ１３８ＯＯＯ",
        "微信l38OOl38OOO",
        "tel:l38 OOl3 8OOO",
        "13800138OOO",
        # separators of any kind and amount
        "138=0013=8000",
        "138      0013      8000",
        "138:0013:8000",
        "138%0013%8000",
        "138×0013×8000",
        "138$0013$8000",
        "138,0013,8000",
        "138……0013……8000",
        "138😀0013😀8000",
        "138👨‍👩‍👧0013👨‍👩‍👧8000",
        "138****0013****8000",
        "(138) 0013-8000",
        "1-3-8-0-0-1-3-8-0-0-0",
        "13 80 01 38 00 0",
        "13800 138000",
        "1380 0138 000",
        # letters between
        "138x0013x8000",
        "138 x 0013 x 8000",
        "138转0013转8000",
        "138a0013b8000",
        "138空格0013空格8000",
        "1x3x8x0x0x1x3x8x0x0x0",
        "138O0013O8000",
        # other digits
        "一三八零零一三八零零零",
        "幺三八〇〇幺三八〇〇〇",
        "壹叁捌零零壹叁捌零零零",
        "138零零138零零零",
        "①③⑧⓪⓪①③⑧⓪⓪⓪",
        "⑬⑧⓪⓪⑬⑧⓪⓪⓪",
        "⒈⒊⒏0013⒏000",
        "⑧6①③⑧00①③⑧000",
        "1️⃣3️⃣8️⃣0️⃣0️⃣1️⃣3️⃣8️⃣0️⃣0️⃣0️⃣",
        "１３８００１３８０００",
        "١٣٨٠٠١٣٨٠٠٠",
        "१३८००१३८०००",
        "𝟏𝟑𝟖𝟎𝟎𝟏𝟑𝟖𝟎𝟎𝟎",
        "ⅠⅢⅧ 0013 8000",
        "❶❸❽⓪⓪❶❸❽⓪⓪⓪",
        # what is not seen
        "138\u200b0013\u200b8000",
        "1\u200d3\u20608\ufeff0\u00ad0\u200b1\u200c38000",
        "1\u03363\u03368\u03360\u03360\u03361\u03363\u03368\u0336000",
        # over lines
        "138\n0013\n8000",
        "138-\n0013-\n8000",
        "> 138\r\n> 0013\r\n> 8000",
        # prefixes
        "013800138000",
        "+8613800138000",
        "+86 138 0013 8000",
        "008613800138000",
        "0086-138-0013-8000",
        "8613800138000",
        "1795113800138000",
        "1791113800138000",
        "1790913800138000",
        "1259313800138000",
        "12593 138 0013 8000",
        "17951013800138000",
        "1795100861 3800138000",
        "12583113800138000",
        "1019313800138000",
        "075513800138000",
        # among other things
        "a13800138000b",
        "Tel13800138000",
        "2 138 0013 8000 5",
        "13800138000转8001",
        "QQ=13800138000;",
        "138 0013 8000, 2026-11-26 18:30",
        "18:30-19:30 138 0013 8000",
        "满700 138 0013 8000",
        "¥200 138 0013 8000",
    ],
)
def test_a_number_is_found_however_it_is_written(text: str) -> None:
    assert A in found(text)
    assert not find_numbers(mask(text))
    sentence = f"请打{text}谢谢"
    assert A in found(sentence)
    assert mask(sentence).startswith("请打") and mask(sentence).endswith("谢谢")


@pytest.mark.parametrize(
    "text",
    [
        A + B,
        f"86{A}86{B}",
        f"{A}0{B}",
        f"{A}/{B}",
        f"{A}、{B}",
        "138 0013 8000139 0013 9000",
        "138001380001 3900139000",
        f"{A}700123456781234{B}",
    ],
)
def test_numbers_that_are_written_together_are_both_found(text: str) -> None:
    assert found(text) == [A, B]
    assert A not in mask(text) and "0139" not in mask(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("010-62345678", "1062345678"),
        ("01062345678", "1062345678"),
        ("(0755)26001234", "75526001234"),
        ("0755 2600 1234", "75526001234"),
        ("+86 10 6234 5678", "1062345678"),
        ("0086-21-6234-5678", "2162345678"),
        ("0898-6234567", "8986234567"),
        ("０１０－６２３４５６７８", "1062345678"),
        ("零一零六二三四五六七八", "1062345678"),
    ],
)
def test_fixed_lines_are_found_with_their_area_code(text: str, number: str) -> None:
    assert found(text) == [number]
    assert number[-4:] not in mask(text) and mask(f"a {text} b").endswith("* b")


@pytest.mark.parametrize(
    "text",
    [
        # lists, measures, prices
        "1800 1900 200",
        "1500x2000x200",
        "1500*2000*200 mm",
        "1999 1599 299",
        "1350/1450/150",
        "1 3 5 7 9 11 13 15",
        "有138人1234元5678件",
        "139路1234号5678室",
        "150元1800元1900元",
        "¥13,800,138,000",
        "13,800,138,000.00元",
        "￥138001380.00",
        "138001380.50元",
        "15000-180000元",
        # times
        "2026-11-26 13:30:45",
        "11-26 18:30:15 12345",
        "18:30-19:30 138 000",
        "2026年11月26日13时30分",
        "20261126133045",
        "1764117744000",
        "1764117744.5",
        # numbers of other kinds
        "700138001380001",
        "700 1380 0138 0001",
        "700-1380-0138-0001",
        "7 0 0 1 3 8 0 0 1 3 8 0 0 0 1",
        "400-800-8820",
        "10086 95588 12345",
        "192.168.10.100",
        "6222 1380 0138 0001 234",
        "6222 0200 1380 0138 123",
        "440301 19900101 123X",
        "44030119900101123X",
        "110101 1990 0307 1234",
        # ids
        "订单号 138001380001",
        "SF1380013800012",
        "2026112613800138000123",
        "YT7138001380001",
        "f81380a0-0138-4000-8a1b-138001380001",
        "b13800138-0001abcdefghj",
        "ISBN 978-7-111-54742-6",
        "v1.3.8-20261126",
        "3.14159265358979",
        "1Z999AA10123456784",
        # words
        "iphone8 0013 8000",
        "call I 38 boss",
        "I will be so sorry, it is 5 o'clock, 10 boxes at size 180, so I sell 38 zoo bags",
        "一二三四五六七八九十",
        "一百三十八万零一百三十八元",
    ],
)
def test_other_figures_are_left_alone(text: str) -> None:
    assert found(text) == []
    assert mask(f"请看{text}。") == f"请看{text}。"


def test_spans_are_those_of_the_text_as_it_was_given() -> None:
    text = "🔟请打⑬⑧⓪⓪⑬⑧⓪⓪⓪。"
    (span,) = find_numbers(text)
    assert text[span.start : span.end] == "⑬⑧⓪⓪⑬⑧⓪⓪⓪"
    assert "138" not in repr(span)
    text = "a +86 138 0013 8000 b"
    (span,) = find_numbers(text)
    assert text[span.start : span.end] == "+86 138 0013 8000"


def test_the_plan_holds_what_libphonenumber_holds() -> None:
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
        for area in (10, *range(20, 30), *range(130, 200), *range(300, 1000)):
            for rest in ("62345678", "23456789", "2345678", "623456789"):
                number = phonenumbers.PhoneNumber(country_code=86, national_number=int(f"{area}{rest}"))
                national = str(number.national_number)
                if phonenumbers.number_type(number) != kind:
                    continue
                if kind == phonenumbers.PhoneNumberType.MOBILE:
                    assert in_use(national)
                else:
                    assert national in {one.national for one in dialled("0" + national, 0)}


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "13",
        "1 3 ",
        A,
        f"{A} ",
        "138 0013 8000 ",
        "l3",
        "o1 ",
        "1x3x",
        "一三八",
        "1\u200b",
        "2026-11-26 ",
    ],
)
def test_time_is_linear_in_the_length(piece: str) -> None:
    def spent(length: int) -> float:
        text = (piece * length)[:length]
        best = 9.0
        for _ in range(3):
            start = time.process_time()
            find_numbers(text)
            best = min(best, time.process_time() - start)
        return best

    assert spent(40_000) < 12 * spent(10_000) + 0.05  # quadratic would be 16
