"""Templates give what `docker inspect --format` (28.2, Go 1.24) gave for the same document: templates.json.

Blank lines are left out of both. Where a field is missing, docker's text may be followed by a suggestion.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrt.cli.template import compile_template
from pyrt.cli.template_functions import TITLES
from pyrt.cli.template_values import Null
from pyrt.errors import InvalidOption

GOLDEN = json.loads(Path(__file__).with_name("templates.json").read_text())


def filled(text: str, document: object) -> str:
    try:
        made = compile_template(text).render(document)
    except InvalidOption as error:
        made = str(error)
    return "\n".join(line for line in made.split("\n") if line)


@pytest.mark.parametrize(("text", "golden"), GOLDEN["cases"])
def test_a_template_gives_what_docker_gave(text: str, golden: str) -> None:
    assert filled(text, GOLDEN["document"]) == golden


@pytest.mark.parametrize(
    ("text", "golden"),
    [
        ("{{.Config.Labels}}", "map[]"),
        ("{{json .Config.Labels}}", "null"),
        ("{{.Config.Labels.x}}", "<no value>"),
        ('{{index .Config.Labels "x"}}', "<no value>"),
        ("{{len .Config.Labels}}", "0"),
        ("{{range .Config.Labels}}x{{else}}none{{end}}", "none"),
        ("{{if .Config.Labels}}x{{else}}none{{end}}", "none"),
    ],
)
def test_null_is_an_empty_map(text: str, golden: str) -> None:
    assert filled(text, {"Config": {"Labels": Null("map[]")}}) == golden


def test_a_misspelt_field_comes_with_the_right_one() -> None:
    assert filled("{{.os}}", {"Os": "linux"}).endswith('map has no entry for key "os"; did you mean .Os?')


def test_titles_are_not_changed() -> None:
    template = compile_template("{{upper .Id}} {{truncate .Id 2}} {{json .Id}} {{json .}}|{{len .Id}}")

    assert template.render({"Id": "Image"}, TITLES) == "Image Image Image |5"


@pytest.mark.parametrize("opening", ["{{" + "(" * 5000 + "}}", "{{if .}}" * 5000, "{{range .}}" * 5000])
def test_depth_is_limited(opening: str) -> None:
    assert "nested more than" in filled(opening, {})


@pytest.mark.parametrize(
    "text",
    ["{{printf `%9999999999d` 1}}", "{{pad `` 99999999 1}}", "{{99999999999999999999}}", "{{" + "9" * 5000 + "}}"],
)
def test_sizes_are_limited(text: str) -> None:
    assert len(filled(text, {})) < 6000
