"""A table in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def markdown_table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], text_columns: Collection[int] = (0,)
) -> str:
    """The rows below their heads; columns other than `text_columns` are aligned to the right."""
    rules = ["---" if column in text_columns else "---:" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (heads, rules, *rows))
