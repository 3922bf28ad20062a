"""Token counts by Python's own tokenizer, equal on every supported Python."""

from __future__ import annotations

import io
import tokenize

_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
# Python 3.12 splits an f-string into parts where 3.11 gives one token.
_FSTRING_START = getattr(tokenize, "FSTRING_START", None)
_FSTRING_END = getattr(tokenize, "FSTRING_END", None)


def count_tokens(code: str) -> int:
    """Tokens of a Python text, comments and layout aside; an f-string is one token.

    Raises:
        ValueError: the text is no Python.
    """
    count = depth = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type == _FSTRING_START:
                depth += 1
            elif token.type == _FSTRING_END:
                depth -= 1
                count += depth == 0
            elif depth == 0 and token.type not in _LAYOUT:
                count += 1
    except (tokenize.TokenError, SyntaxError) as error:
        raise ValueError(f"not Python: {error}") from error
    return count
