"""Writes JSON text at random: right, nearly right, and at every limit of contract 6.4. It does not know stores.

It makes text, not values, because a value loses what readers differ in (equal members, digits, escapes, bytes that are
not UTF-8). A value here is already text, so a document may hold pieces that are not JSON.
"""

from __future__ import annotations

import re
from random import Random

BORDER_NUMBERS = [
    "0", "-0", "0.0", "-0.0", "0e0", "0E+1", "-0e-9", "1", "-1", "3", "3.0", "3e0", "30e-1", "0.3e1", "3E0",
    "3.0000000000000001", "2.5", "1e2", "1E+2", "1e-7", "1e21", "1e22", "123456789012345678", "4", "41",
    "41.0", "12", "1048576", "1048576.0", "1048577", "1048576.4", "9007199254740990", "9007199254740991",
    "9007199254740992", "9007199254740993", "9007199254740991.4", "9007199254740991.5", "-9007199254740993",
    "18446744073709551615", "18446744073709551616", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "-9223372036854775809", "1e308", "1.7976931348623157e308",
    "1.7976931348623158e308", "1.797693134862315807e308", "1.797693134862315808e308",
    "1.7976931348623159e308", "1e309", "-1e309", "1e400", "-1e400", "1e99999999999999999999", "0e400",
    "0.0e99999999999999999999", "1e-323", "4.9e-324", "2.4703282292062327e-324", "2.4703282292062328e-324",
    "1e-324", "1e-400", "-1e-400", "1e-99999999999", "5e-324", "2.2250738585072011e-308",
    "2.2250738585072014e-308", "0.1", "0.30000000000000004", "1.10", "100.00", "12345678901234567890.5",
]  # fmt: skip
WRONG_NUMBERS = [
    "00", "01", "-01", "03", "1.", ".5", "-.5", "1e", "1e+", "1E-", "+1", "-", "--", "0x1", "0b1", "1_000",
    "1,5", "NaN", "Infinity", "-Infinity", "nan", "inf", "١", "３", "1e1.5", "1f", "1n", "0e", "1.e1", "1-2",
    "0-1",
]  # fmt: skip
ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "/": "\\/",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
ODD_CHARACTERS = (
    '"\\/\b\f\n\r\t\0\x01\x1f\x7f\x80\xa0éß\u0130\u0131\u017f'
    "\u2028\u2029\u212a\ud7ff\ue000\ufeff\ufffd\uffff😀\U0010ffff"
)
WRONG_STRINGS = [
    b'"', b'"a', b"'a'", b'"\\', b'"\\"', b'"\\x41"', b'"\\q"', b'"\\U0041"', b'"\\u12"', b'"\\u+123"',
    b'"\\u 123"', b'"\\u00g0"', b'"\\u0x41"', b'"\\u\xd9\xa1\xd9\xa1\xd9\xa1\xd9\xa1"', b'"a\nb"', b'"\t"',
    b'"\0"', b'"\x1f"', b'"\\\n"', b'"\\0"', b'"\\v"', b'"\\\'"', b'"\\ud800"', b'"\\udc00"', b'"\\ud800x"',
    b'"\\ud800\\u0041"', b'"\\ud800\\ud800"', b'"\\udc00\\ud800"', b'"\\uDBFF\\uE000"', b'"\\ud83d\\"',
    b'"\\ud800\\n"', b'"\\\\\\ud800"', b'"\\ud800\\\\udc00"', b'"\xff"', b'"\xc0\xaf"', b'"\xc1\xbf"',
    b'"\xe0\x80\xaf"', b'"\xf0\x80\x80\xaf"', b'"\xed\xa0\x80"', b'"\xed\xa0\xbd\xed\xb8\x80"',
    b'"\xf4\x90\x80\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xe2\x82"', b'"\x80"', b'"\xc3"',
]  # fmt: skip
WRONG_LITERALS = [
    b"True",
    b"NULL",
    b"nul",
    b"nulll",
    b"undefined",
    b"tru",
    b"falsee",
    b"true1",
    b"None",
    b"nil",
    b"{}{}",
    b"@",
]
SPACES = [b"", b" ", b"\n", b"\t", b"\r\n", b"  "]
WRONG_SPACES = [
    b"\x0b",
    b"\x0c",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"/**/",
    b"//\n",
    b"#\n",
    b"\0",
    b",",
    b";",
]
# Members that an object of a language inherits, or that look equal and are not.
KEYS = [
    "a", "b", "A", "aa", "__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "length",
    "json_class", "default", "é", "e\u0301", "0", "1", "01", "-1", "\0", "😀", "", " ", "a ", "a\n",
]  # fmt: skip


class Grammar:
    """Makes pieces of JSON text. `wrong` is the probability that a token is not JSON; `words`, strings to use."""

    def __init__(self, random: Random, *, wrong: float = 0.0, words: tuple[str, ...] = ()) -> None:
        self._random = random
        self._wrong = wrong
        self._words = words

    def document(self) -> bytes:
        """Returns a value of any kind, with what may surround it."""
        random = self._random
        kind = random.random()
        if kind < 0.08:
            text = self.nested(random.choice([1, 32, 62, 63, 64, 65, 66, 100]))
        elif kind < 0.12:
            text = self.huge()
        else:
            text = self.value(random.choice([0, 1, 2, 3, 5]))
        if self._is_wrong():
            end = random.choice([b"x", b"1", b"]", b"}", b",", b"\0", b"null", b" []", *WRONG_SPACES])
            text = random.choice(
                [b"\xef\xbb\xbf" + text, text + end, text[: random.randrange(len(text) + 1)], b" ", b""]
            )
        return self.space() + text + self.space()

    def value(self, depth: int) -> bytes:
        """Returns any value with at most that many arrays and objects inside each other."""
        random = self._random
        if self._is_wrong():
            return random.choice(WRONG_LITERALS)
        kind = random.random() if depth > 0 else random.random() * 0.6
        if kind < 0.25:
            return self.number()
        if kind < 0.5:
            return self.string(self.text())
        if kind < 0.6:
            return random.choice([b"null", b"true", b"false"])
        if kind < 0.75:
            return self.array([self.value(depth - 1) for _ in range(random.randrange(4))])
        return self.object([(self.key(), self.value(depth - 1)) for _ in range(random.randrange(5))])

    def number(self) -> bytes:
        random = self._random
        if self._is_wrong():
            return random.choice(WRONG_NUMBERS).encode()
        if random.random() < 0.5:
            return random.choice(BORDER_NUMBERS).encode()
        digits = random.choice([1, 3, 15, 17, 20, 40, 307, 308, 309, 310, 400])
        whole = str(random.randrange(10 ** (digits - 1), 10**digits))
        fraction = (
            "." + "".join(random.choices("0123456789", k=random.choice([1, 5, 20, 350])))
            if random.random() < 0.3
            else ""
        )
        sign = random.choice(["", "", "-"])
        exponent = ""
        if random.random() < 0.3:
            power = random.choice(
                [random.randrange(30), 308 - digits, 309 - digits, 310 - digits, -324 - digits, -323]
            )
            exponent = random.choice("eE") + random.choice(["", "+"] if power >= 0 else [""]) + str(power)
        return f"{sign}{whole}{fraction}{exponent}".encode()

    def text(self) -> str:
        """Returns the text of a string."""
        random = self._random
        if self._words and random.random() < 0.3:
            return random.choice(self._words)
        length = random.choice([0, 1, 2, 5, 20])
        return "".join(
            random.choice("abcXYZ012 ._-") if random.random() < 0.7 else random.choice(ODD_CHARACTERS)
            for _ in range(length)
        )

    def key(self) -> bytes:
        """Returns a member's name."""
        return self.string(self._random.choice(KEYS) if self._random.random() < 0.8 else self.text())

    def string(self, text: str) -> bytes:
        """Returns the text as a string, with some characters as escapes that need none."""
        random = self._random
        if self._is_wrong():
            return random.choice(WRONG_STRINGS)
        escaping = random.choice([0.0, 0.0, 0.0, 0.2, 1.0])
        if escaping == 0.0 and PLAIN.fullmatch(text):
            return b'"' + text.encode() + b'"'
        return b'"' + b"".join(self._character(character, escaping) for character in text) + b'"'

    def _character(self, character: str, escaping: float) -> bytes:
        must = character in '"\\' or character < " "
        if not must and self._random.random() >= escaping:
            return character.encode()
        if character in ESCAPES and self._random.random() < 0.6:
            return ESCAPES[character].encode()
        units = character.encode("utf-16-be").hex()
        digits = units.upper() if self._random.random() < 0.5 else units
        return "".join(f"\\u{digits[at : at + 4]}" for at in range(0, len(digits), 4)).encode()

    def array(self, items: list[bytes]) -> bytes:
        return b"[" + self._separated(items) + b"]"

    def object(self, members: list[tuple[bytes, bytes]]) -> bytes:
        """Returns an object of members whose names are text already. Equal names keep their places."""
        return (
            b"{"
            + self._separated([name + self.space() + b":" + self.space() + value for name, value in members])
            + b"}"
        )

    def nested(self, depth: int) -> bytes:
        """Returns arrays and objects inside each other, and a value inside them all."""
        random = self._random
        pairs = random.choices(
            [(b"[", b"]"), (b'{"a":', b"}"), (b"[1,", b"]"), (b'{"":[],"a":', b"}")], k=depth
        )
        if random.random() < 0.5:
            pairs = [pairs[0]] * depth
        inner = random.choice([b"1", b'""', b"null", b"[]", b"{}"])
        return b"".join(left for left, _ in pairs) + inner + b"".join(right for _, right in reversed(pairs))

    def huge(self) -> bytes:
        """Returns one long token, or many short ones."""
        length = self._random.choice([255, 1024, 65_535, 65_536, 200_000])
        return self._random.choice([
            b'"' + b"a" * length + b'"',
            b'{"' + b"k" * length + b'":1}',
            b'"' + b"\\u00e9" * (length // 6) + b'"',
            b"[" + b"1," * (length // 50) + b"1]",
            b"0." + b"1" * length,
            b" " * length + b"1",
        ])  # fmt: skip

    def space(self) -> bytes:
        if self._is_wrong(0.3):
            return self._random.choice(WRONG_SPACES)
        return self._random.choice(SPACES) if self._random.random() < 0.2 else b""

    def _separated(self, items: list[bytes]) -> bytes:
        text = b",".join(self.space() + item + self.space() for item in items)
        if self._is_wrong():
            return self._random.choice(
                [text + b",", b"," + text, text.replace(b",", b" ", 1), text.replace(b":", b"=", 1)]
            )
        return text

    def _is_wrong(self, share: float = 1.0) -> bool:
        return self._wrong > 0 and self._random.random() < self._wrong * share
