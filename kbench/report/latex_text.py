"""Text as LaTeX writes it, in ASCII, so that any engine with any encoding compiles it."""

import unicodedata

SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "→": r"$\to$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "×": r"$\times$",
    "…": r"\dots{}",
    "†": r"\dag{}",
    "·": r"$\cdot$",
    "≈": r"$\approx$",
    "ß": r"\ss{}",
    "\N{NO-BREAK SPACE}": "~",
}

ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING MACRON}": "=",
    "\N{COMBINING BREVE}": "u",
    "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING RING ABOVE}": "r",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": "H",
    "\N{COMBINING CARON}": "v",
    "\N{COMBINING CEDILLA}": "c",
}
"""LaTeX's commands for accents, each by the character that Unicode composes with."""


def tex(text: str) -> str:
    """Return text with LaTeX's special characters escaped, accents by command, and characters that
    LaTeX has no usual way to write by their number.

    >>> print(tex("5 % of a_b ± 1, ü, 漢"))
    5 \\% of a\\_b $\\pm$ 1, \\"{u}, \\texttt{U+6F22}
    """
    return "".join(map(_character, str(text)))


def _character(character: str) -> str:
    if character in SIGNS or character.isascii():
        return SIGNS.get(character, character)
    parts = unicodedata.normalize("NFKD", character)
    base, *marks = parts
    if parts.isascii() or (not marks and base != character):
        return tex(parts)
    if base.isascii() and all(mark in ACCENTS for mark in marks):
        for mark in marks:
            base = rf"\{ACCENTS[mark]}{{{base}}}"
        return base
    return rf"\texttt{{U+{ord(character):04X}}}"
