"""Sound input made hostile: bytes changed, cut, doubled, and what breaks readers put in."""

from __future__ import annotations

import numpy as np

TOKENS = (
    b"", b"\x00", b"\n", b"\r\n", b"\r", b'"', b"'", b",", b"\t", b"::", b"|", b"{", b"}", b"[",
    b"]", b"\\", b"\\u0000", b"\\ud800", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\xf0\x9f\x92\xa9",
    b"NaN", b"inf", b"-inf", b"null", b"true", b"1e999", b"-1", b"9" * 23, b"0x10",
    b"9" * 400, b"<script>alert(1)</script>", b"<img src=x onerror=alert(1)>", b"{{ 7*7 }}",
    b"```{raw} html", b"&amp;amp;lt;", b"../../etc/passwd", b"/etc/passwd", b"C:\\x", b"=cmd|'/c'",
    b"__import__('os').system('touch ran')", b"${HOME}", b"%s%n", b"\x1b[2J", b"\xe2\x80\xae",
    b'{"parent_asin": ["B1"]}', b'{"parent_asin": 1, "title": {"a": [1]}}', b'"parent_asin": "B1"',
    b"2001-02-30T00:00:00Z", b"1970-01-01", b"::::::", b"(1999)", b"[" * 2000, b'{"a":' * 2000,
)  # fmt: skip


def spoiled(content: bytes, draw: np.random.Generator) -> bytes:
    """Return the content after one to four changes."""
    for _ in range(int(draw.integers(1, 5))):
        content = CHANGES[int(draw.integers(len(CHANGES)))](content, draw)
    return content


def _place(content: bytes, draw: np.random.Generator) -> int:
    return int(draw.integers(len(content) + 1))


def _turn(content: bytes, draw: np.random.Generator) -> bytes:
    changed = bytearray(content or b"\0")
    changed[_place(content, draw) % len(changed)] ^= 1 << int(draw.integers(8))
    return bytes(changed)


def _cut(content: bytes, draw: np.random.Generator) -> bytes:
    return content[: _place(content, draw)]


def _drop(content: bytes, draw: np.random.Generator) -> bytes:
    start, end = sorted((_place(content, draw), _place(content, draw)))
    return content[:start] + content[min(end, start + 40) :]


def _double(content: bytes, draw: np.random.Generator) -> bytes:
    start, end = sorted((_place(content, draw), _place(content, draw)))
    return content[:end] + content[start:]


def _noise(content: bytes, draw: np.random.Generator) -> bytes:
    place = _place(content, draw)
    return content[:place] + draw.bytes(int(draw.integers(1, 12))) + content[place:]


def _token(content: bytes, draw: np.random.Generator) -> bytes:
    place = _place(content, draw)
    return content[:place] + TOKENS[int(draw.integers(len(TOKENS)))] + content[place:]


def _field(content: bytes, draw: np.random.Generator) -> bytes:
    """Put a token in the place of what stands between two marks."""
    for mark in (b",", b"\t", b"::", b'"'):
        parts = content.split(mark)
        if len(parts) > 3:
            parts[int(draw.integers(len(parts)))] = TOKENS[int(draw.integers(len(TOKENS)))]
            return mark.join(parts)
    return _token(content, draw)


CHANGES = (_turn, _cut, _drop, _double, _noise, _token, _token, _field, _field)
