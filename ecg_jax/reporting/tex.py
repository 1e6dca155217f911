r"""Tables in LaTeX, to be read by `\input`; the document loads the package booktabs."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_LONG = 40  # characters of a column's longest text from which its lines are broken
_PARAGRAPH = r"p{0.35\textwidth}"
_WIDE = 75  # characters, with 3 for the space between columns, that fit the line of an upright page
_SIZES = {
    False: [r"\small"],
    True: ["% Where this is too wide still, sidewaystable (package rotating) turns it.", r"\scriptsize\tabcolsep=3pt"],
}
_MATH = {
    **{"−": "-", "±": r"\pm", "×": r"\times", "≤": r"\leq", "≥": r"\geq", "≈": r"\approx", "→": r"\to"},
    **{
        "∞": r"\infty",
        "²": "^2",
        "µ": r"\mu",
        "μ": r"\mu",
        "α": r"\alpha",
        "β": r"\beta",
        "Δ": r"\Delta",
        "κ": r"\kappa",
    },
    **{"λ": r"\lambda", "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau", "χ": r"\chi"},
}
_SPECIAL = {
    **{character: f"\\{character}" for character in "{}$&#%_"},
    **{character: f"${symbol}$" for character, symbol in _MATH.items()},
    **{"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "`": r"\textasciigrave{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "°": r"\textdegree{}", "…": r"\dots{}"},
    **{'"': "''", "“": "``", "”": "''", "‘": "`", "’": "'", "–": "--", "—": "---", "\N{NO-BREAK SPACE}": "~"},
    # At the beginning of a row, these would be arguments of the command that ended the last one.
    **{"[": "{[}", "]": "{]}", "*": "{*}"},
    # Two hyphens, as before the name of a flag, would become one dash.
    "--": "-{}",
}
_PATTERN = re.compile("-(?=-)|" + "|".join(re.escape(character) for character in _SPECIAL if character != "--"))


def escape(text: str) -> str:
    """LaTeX that prints any text in one line; letters without a font in pdfLaTeX are left for another engine."""
    plain = "".join(" " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character for character in text)
    return _PATTERN.sub(lambda found: _SPECIAL.get(found[0], _SPECIAL["--"]), plain)


def draw_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    is_number: Sequence[bool],
    label: str,
    caption: str,
    note: str = "",
    stamps: Sequence[str] = (),
) -> str:
    """A table environment; stamps are set in bold at the end of the caption, the note under the table."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    is_long = [width > _LONG and not right for width, right in zip(widths, is_number, strict=True)]
    alignment = "".join(
        _PARAGRAPH if long else "r" if right else "l" for long, right in zip(is_long, is_number, strict=True)
    )
    title = " ".join([escape(caption), *(rf"\textbf{{{escape(stamp)}}}" for stamp in stamps)])
    return "\n".join(
        [
            r"% The document loads \usepackage{booktabs}.",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{title}}}",
            rf"\label{{{label}}}",
            *_SIZES[sum(min(width, _LONG) + 3 for width in widths) > _WIDE],
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            _draw_row(map(escape, headings)),
            r"\midrule",
            *(_draw_row(map(_draw_cell, row, is_long)) for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            *([rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {escape(note)}}}"] if note else []),
            r"\end{table}",
            "",
        ]
    )


def _draw_row(cells: Iterable[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _draw_cell(text: str, is_long: bool) -> str:
    return rf"{{\raggedright {escape(text)}\par}}" if is_long else escape(text)
