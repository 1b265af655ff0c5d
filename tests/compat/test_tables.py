"""Lists look as docker 28.2 printed them."""

from __future__ import annotations

import pytest

from pyrt.cli.images import HEADINGS
from pyrt.cli.table import listing
from pyrt.errors import InvalidOption

COLUMNS = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
ABSENT = {"Digest": "<none>", "CreatedAt": "now", "SharedSize": "N/A", "UniqueSize": "N/A", "Containers": "N/A"}
ROWS = [
    {"Repository": "box", "Tag": tag, "ID": "173d97cf9a46", "CreatedSince": "51 seconds ago", "Size": "1.98MB"} | ABSENT
    for tag in ("1", "2")
]


@pytest.mark.parametrize(
    ("form", "golden"),
    [
        *(
            (
                form,
                """
REPOSITORY   TAG       IMAGE ID       CREATED          SIZE
box          1         173d97cf9a46   51 seconds ago   1.98MB
box          2         173d97cf9a46   51 seconds ago   1.98MB""",
            )
            for form in (None, "", "table")
        ),
        (r"table {{.ID}}\t{{.Repository}}", "\nIMAGE ID       REPOSITORY\n" + "173d97cf9a46   box\n" * 2),
        ("table {{.ID}} {{.Tag}}", "\nIMAGE ID TAG\n173d97cf9a46 1\n173d97cf9a46 2"),
        (
            r"table {{.ID}}\t{{upper .Tag}}\t{{json .Tag}}\t{{truncate .Repository 3}}\t{{len .Tag}}",
            """
IMAGE ID       TAG       TAG       REPOSITORY   3
173d97cf9a46   1         "1"       box          1
173d97cf9a46   2         "2"       box          1""",
        ),
        (
            r'table {{if eq .Tag "1"}}a\tbbbbbbbbbbbbbbbbbbbb\tc{{else}}x{{end}}',
            "\nx\na         bbbbbbbbbbbbbbbbbbbb   c\nx",
        ),
        ("{{.ID}}: {{.Repository}}", "\n173d97cf9a46: box\n173d97cf9a46: box"),
        (r'a\tb {{"x\ty"}}', "\na\tb x\ty\na\tb x\ty"),
        ("plain", "\nplain\nplain"),
        (
            "{{json .}}",
            '\n{"Containers":"N/A","CreatedAt":"now","CreatedSince":"51 seconds ago","Digest":"<none>",'
            '"ID":"173d97cf9a46","Repository":"box","SharedSize":"N/A","Size":"1.98MB","Tag":"1","UniqueSize":"N/A"}',
        ),
    ],
)
def test_the_list_of_images(form: str | None, golden: str) -> None:
    lines = golden.strip("\n").split("\n")

    assert listing(ROWS[: len(lines)] if form == "{{json .}}" else ROWS, COLUMNS, HEADINGS, form) == lines


def test_a_table_without_rows_is_its_heading() -> None:
    assert listing([], COLUMNS, HEADINGS, None) == ["REPOSITORY   TAG       IMAGE ID   CREATED   SIZE"]


def test_json_is_an_object_a_line() -> None:
    assert listing(ROWS, COLUMNS, HEADINGS, "json") == listing(ROWS, COLUMNS, HEADINGS, "{{json .}}")


@pytest.mark.parametrize("form", ["{{.Nope}}", "{{.ID", "table {{.ID | nope}}"])
def test_a_wrong_template_is_refused(form: str) -> None:
    with pytest.raises(InvalidOption, match="template parsing error"):
        listing(ROWS, COLUMNS, HEADINGS, form)
