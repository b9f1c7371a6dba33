"""Line breaking in Latin, Chinese, Japanese, Korean and Thai."""

from __future__ import annotations

import pytest

from goldsmith.ops.text.line_breaking import break_opportunities


def parts(text: str) -> list[str]:
    cuts = break_opportunities(text)
    return [text[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two", ["one ", "two"]),
        ("one  two ", ["one  ", "two "]),
        ("10\u00a0kg net", ["10\u00a0kg ", "net"]),
        ("well-known", ["well-", "known"]),
        ("minus -5 and 3-4", ["minus ", "-5 ", "and ", "3-4"]),
        ("either\u200bor", ["either\u200b", "or"]),
        ("no\u2060break", ["no\u2060break"]),
        ("漢字漢字", ["漢", "字", "漢", "字"]),
        ("漢字。", ["漢", "字。"]),
        ("「猫」は", ["「猫」", "は"]),
        ("キャット", ["キャッ", "ト"]),
        ("ラーメン", ["ラー", "メ", "ン"]),
        ("価格¥100円", ["価", "格", "¥100", "円"]),
        ("2026年、春", ["2026", "年、", "春"]),
        ("한국어 글꼴", ["한국어 ", "글꼴"]),
        ("cafe\u0301 au", ["cafe\u0301 ", "au"]),
        ("Vraiment ? Oui !", ["Vraiment ? ", "Oui !"]),
        ("dit « oui » et", ["dit ", "« oui » ", "et"]),
        ("sagt »ja« und", ["sagt ", "»ja« ", "und"]),
        ("nur 25 % auf 99 € heute", ["nur ", "25 % ", "auf ", "99 € ", "heute"]),
        ("for $5 and :wq", ["for ", "$5 ", "and ", ":wq"]),
        ("Donau\u00addampf\u00adschiff", ["Donau\u00ad", "dampf\u00ad", "schiff"]),
        ("\U0001f44d\U0001f3fd\U0001f600", ["\U0001f44d\U0001f3fd", "\U0001f600"]),
        ("\U0001f469\u200d\U0001f680\u2764\ufe0f", ["\U0001f469\u200d\U0001f680", "\u2764\ufe0f"]),
        ("สวัสดีชาวโลก", ["สวัสดีชาวโลก"]),
        ("", [""]),
    ],
)
def test_a_line_breaks_only_where_it_may(text: str, expected: list[str]) -> None:
    """Spaces stay at the end of a line; no line begins with a closing sign or small kana, and none ends with an opening sign."""
    assert parts(text) == expected
