"""List the rows of the knowledge base that nobody has compared with their source for long.

    python scripts/knowledge_age.py            # rows older than 180 days
    python scripts/knowledge_age.py --days 30 --rows

Prints a line for each table with old rows, oldest first, or with --rows a line for each row.
The exit code is 1 where there are old rows, 0 where there are none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from mtcnn_doctor import knowledge, toml


class Row(NamedTuple):
    """A row of a table and when it was reviewed."""

    reviewed: date
    table: str
    id: str
    source: str


def rows(folder: Path) -> Iterator[Row]:
    """Yield every row of every table below a folder; one without a date counts as oldest."""
    for path in sorted(folder.rglob("*.toml")):
        document = toml.parse(path.read_text(encoding="utf-8"))
        for group in document.values():
            for row in group if isinstance(group, list) else ():
                if "source" not in row and "reviewed" not in row:
                    continue  # a list of words, nothing that has a source
                reviewed = date.fromisoformat(row.get("reviewed", date.min.isoformat()))
                name = path.relative_to(folder).with_suffix("").as_posix()
                yield Row(reviewed, name, row.get("id", "?"), row.get("source", "?"))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="List rows whose review is long past.")
    parser.add_argument("--days", type=int, default=180, help="age from which a row is old")
    parser.add_argument("--rows", action="store_true", help="print each row")
    parser.add_argument(
        "--today", type=date.fromisoformat, default=date.today(), help="count from this day"
    )
    chosen = parser.parse_args(arguments)
    every = sorted(rows(Path(knowledge.__file__).parent))
    old = [row for row in every if (chosen.today - row.reviewed).days > chosen.days]
    if chosen.rows:
        for row in old:
            print(f"{row.reviewed}  {row.table:<24} {row.id}  {row.source}")
    else:
        for table in dict.fromkeys(row.table for row in old):
            theirs = [row for row in old if row.table == table]
            print(f"{theirs[0].reviewed}  {table:<24} {len(theirs)} rows")
    print(f"{len(old)} of {len(every)} rows were reviewed more than {chosen.days} days ago")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
