"""A table in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence


def markdown_table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], text_columns: Collection[int] = (0,)
) -> str:
    """The rows below their heads; columns other than `text_columns` are aligned to the right."""
    rules = ["---" if column in text_columns else "---:" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (heads, rules, *rows))


def table_of_columns(columns: Mapping[str, str], rows: Iterable[Mapping[str, object]]) -> str:
    """Rows that have values by key, below the heads of `columns`: key to head.

    Integers have commas between thousands; a value of None is an empty cell.
    """
    return markdown_table(
        [*columns.values()], ([_cell(row[key]) for key in columns] for row in rows)
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)
