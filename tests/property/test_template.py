"""Any text is a template, or refused in one way."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pyrt.cli.template import compile_template
from pyrt.cli.template_functions import FUNCTIONS
from pyrt.errors import InvalidOption

DOCUMENT = {"Id": "x", "List": ["a", 1, None], "Map": {"a": {"b": 1.5}}, "Null": None, "Yes": True, "Number": -3}
WORDS = [
    *("{{", "}}", "{{-", "-}}", " ", "\n", "|", "(", ")", ":=", "=", ",", ".", "$", "$x", '"', '"a"', "`", "'c'"),
    *(".Id", ".List", ".Map.a.b", ".Null", ".Yes", ".Number", ".nope", "0", "1", "-1", "1.5", "0x", "1e9", "'", "\\"),
    *("if", "else", "end", "range", "with", "break", "continue", "nil", "true", "/*", "*/", "é", "%", "text"),
    *FUNCTIONS,
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def fill(text: str) -> None:
    try:
        compile_template(text).render(DOCUMENT)
    except InvalidOption:
        return


@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_words_in_any_order_are_a_template_or_refused(words: list[str]) -> None:
    fill("".join(words))
    fill("{{" + " ".join(words) + "}}")


@given(st.text())
def test_any_text_is_a_template_or_refused(text: str) -> None:
    fill(text)
    fill("{{" + text + "}}")


@given(st.sampled_from(sorted(FUNCTIONS)), st.lists(st.sampled_from([word for word in WORDS if word[:1] in ".01-'"])))
def test_any_call_gives_a_value_or_is_refused(name: str, operands: list[str]) -> None:
    fill("{{" + " ".join([name, *operands]) + "}}")


@given(json_values)
def test_json_is_the_document(value: object) -> None:
    assert json.loads(compile_template("{{json .}}").render(value)) == value


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_is_left_as_it_is(text: str) -> None:
    assert compile_template(text).render({}) == text


@given(st.text(), st.lists(st.integers()))
def test_values_of_any_kind_can_be_printed_by_any_form(form: str, values: list[int]) -> None:
    template = compile_template("{{range $at, $each := .List}}{{printf $.Form $each $at}}{{println $each}}{{end}}")
    template.render({"Form": form, "List": [*values, "x", 1.5, None, [], {}]})
