"""HTML pages that need no other file and no network, and the page of results."""

import dataclasses
import math
import re
from collections.abc import Sequence

import jinja2

from ecg_jax import files
from ecg_jax.reporting import cells
from ecg_jax.reporting.tables import Table, check_name

_SVG = re.compile(r"data:image/svg\+xml[;,]")


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure.

    Raises:
        ValueError: when the name is no id, or the source is another file's address.
    """

    name: str  # HTML id, unique on the page
    caption: str  # what it shows; also its text for screen readers
    source: str  # data URI of an SVG, drawn in its own size where there is room

    def __post_init__(self) -> None:
        check_name(self.name)
        if not _SVG.match(self.source):
            raise ValueError(f"figure {self.name}: source is {self.source[:40]!r}, not a data URI of an SVG")


@dataclasses.dataclass(frozen=True)
class Section:
    """A numbered section."""

    title: str  # its heading, also in the row of links
    paragraphs: Sequence[str] = ()  # plain text above the tables
    tables: Sequence[Table] = ()  # shown one below the other
    figures: Sequence[Figure] = ()  # shown below the tables, side by side where there is room


@dataclasses.dataclass(frozen=True)
class Page:
    """A page of results. All text is plain and may hold anything: it is escaped.

    Raises:
        ValueError: when two tables or figures have one name.
    """

    title: str  # its heading
    subtitle: str  # one line on what was evaluated
    command: str  # that makes such a page
    date: str  # of the page
    key: Sequence[tuple[str, str]] = ()  # the row of large numbers on top: (value as shown, what it is)
    stamps: Sequence[str] = ()  # lines that no reader may miss, such as that thresholds were chosen on the test set
    warnings: Sequence[str] = ()  # other lines that a reader should know; a list below the stamps
    sections: Sequence[Section] = ()  # in order

    def __post_init__(self) -> None:
        names = [table.name for section in self.sections for table in section.tables]
        names += [figure.name for section in self.sections for figure in section.figures]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"names of tables and figures are unique on a page; these are not: {', '.join(repeated)}")


def write_page(path: str, page: Page) -> None:
    """Writes a page of results, whole or not at all; its folder exists."""
    columns = {
        table.name: cells.arrange(table.frame, table.formats) for section in page.sections for table in section.tables
    }
    files.write_text(path, render("results.html", page=page, columns=columns))


def render(template: str, **values: object) -> str:
    """Fills a template of this package, which extends `page.html`; text is escaped, a missing value is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ecg_jax.reporting", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"whole": format_count, "number": format_number, "percent": format_percent}
    environment.filters["sortable"] = _format_value
    return environment.get_template(template).render(**values)


def format_count(value: float) -> str:
    """A whole number, thousands apart."""
    return f"{int(value):,}"


def format_number(value: float) -> str:
    """Three figures, and whole numbers in full."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def format_percent(part: float) -> str:
    """One decimal; two below one per cent."""
    percent = 100 * part
    return f"{percent:.2f} %" if 0 < percent < 1 else f"{percent:.1f} %"


def _format_value(value: float) -> str:
    """A number as JavaScript reads it, in full precision."""
    return repr(value) if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
