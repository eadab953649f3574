"""A prompt of a stranger's reaches nothing outside its row, and makes nothing without measure."""

from __future__ import annotations

import tracemalloc

import pytest

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt import Task
from tests.pipeline.prompt.asking import spoken

REACHING = [
    "{{ a.__class__ }}",
    "{{ a['__class__'] }}",
    "{{ a|attr('__class__') }}",
    "{{ a.__class__.__mro__[1].__subclasses__() }}",
    "{{ many|map(attribute='__class__')|list }}",
    "{{ many|join(attribute='__class__') }}",
    "{{ [a]|join(attribute='__class__') }}",
    "{{ range.__init__.__globals__ }}{{ range(1) }}",
    "{{ cycler('x').__init__.__globals__ }}{{ a }}",
    "{{ namespace.__init__ }}{{ a }}{{ namespace() }}",
    "{{ a.format(a) }}",
    "{{ a.format_map(row) }}",
    "{{ a.encode() }}",
    "{{ (5).to_bytes(3, 'big') }}{{ a }}",
    "{{ many.append(1) }}",
    "{{ ''.join.__self__ }}{{ a }}",
]

GROWING = [
    "{{ 'a' * 10**9 }}{{ a }}",
    "{{ 10**9 * 'a' }}{{ a }}",
    "{{ a * big }}",
    "{{ [1] * 10**9 }}{{ a }}",
    "{{ many * big }}",
    "{{ 7 ** (7 ** 9) }}{{ a }}",
    "{{ big ** big }}",
    "{% for i in range(10**9) %}x{% endfor %}{{ a }}",
    "{% for i in range(99999) %}{% for j in range(99) %}{{ a * 99 }}{% endfor %}{% endfor %}",
    "{{ '%1000000000d' % 1 }}{{ a }}",
    "{{ '%1000000000d'|format(1) }}{{ a }}",
    "{{ '%*d'|format(1000000000, 1) }}{{ a }}",
    "{{ '%.1000000000f'|format(1.0) }}{{ a }}",
    "{{ 'x'|indent(1000000000, true) }}{{ a }}",
    "{{ a.ljust(1000000000) }}",
    "{{ a.center(big) }}",
    "{{ a.expandtabs(1000000000) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}{{ a }}",
]

STEPS = [
    "n.x ~ n.x",
    "n.x + n.x",
    "'%s%s' % (n.x, n.x)",
    "'%(k)s%(k)s' % {'k': n.x}",
    "'%s%s'|format(n.x, n.x)",
    "n.x.replace('a', n.x)",
    "n.x|replace('a', n.x)",
    "n.x.join([n.x, n.x])",
    "[n.x, n.x]|join",
    "[n.x, n.x]|join(n.x)",
]
GROWING += [
    "{% set n = namespace(x='aa') %}{% for i in range(99) %}{% set n.x = " + step + " %}"
    "{% endfor %}{{ a }}"
    for step in STEPS
]
GROWING.append(
    "{% set n = namespace(x='aa') %}{% for i in range(99) %}{% set n.x %}{{ n.x }}{{ n.x }}"
    "{% endset %}{% endfor %}{{ a }}"
)
GROWING.append(
    "{% set n = namespace(x=2) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}"
    "{{ a }}"
)

FIELDS = {"a": "text", "many": ["x", "y"], "big": 1_000_000_000}


@pytest.mark.parametrize("template", REACHING)
def test_no_template_reaches_into_python(template: str) -> None:
    with pytest.raises(BadPrompt):
        Task.make(prompt=template).params_of(FIELDS, position=0)


@pytest.mark.parametrize("template", GROWING)
def test_no_template_makes_more_than_a_request_may_have(template: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadPrompt):
            Task.make(prompt=template).params_of(FIELDS, position=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400 * 1024 * 1024


def test_a_constant_part_that_grows_is_refused_when_it_is_made() -> None:
    with pytest.raises(BadPrompt, match="the system prompt"):
        Task.make(prompt="{{ a }}", system="{{ 'a' * 10**9 }}")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ a.upper()[:2] }}{{ a|trim }}", "TEtext"),
        ("{{ 'ab' * 3 }}{{ 2 ** 10 }}{{ 7 % 4 }}{{ 'x' + a }}", "ababab10243xtext"),
        ("{{ '%.2f'|format(1.005) }}{{ '%05d' % 7 }}{{ '%s-%s'|format(a, 1) }}", "1.0000007text-1"),
        ("{{ many|join(', ') }}{{ ', '.join(many) }}", "x, yx, y"),
        ("{{ objects|join('+', attribute='n') }}", "1+2"),
        ("{{ a.replace('t', 'T') }}{{ a|replace('t', 'T', 1) }}", "TexTText"),
        ("{{ a ~ 1 ~ none ~ true }}", "text1true"),
        ("{% set n = namespace(i=0) %}{% for x in many %}{% set n.i = n.i+1 %}{% endfor %}{{n.i}}",
         "2"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(a) }}", "<text>"),
        ("{{ 'a\nb'|indent(2) }}", "a\n  b"),
        ("{{ {'k': [1]}|tojson(indent=2) }}", '{\n  "k": [\n    1\n  ]\n}'),
        ("{{ objects|selectattr('n', 'gt', 1)|map(attribute='n')|list }}", "[2]"),
        ("{{ many|map('upper') }}", '["X","Y"]'),
    ],
)  # fmt: skip
def test_what_prompts_are_made_of_works(template: str, text: str) -> None:
    fields = {**FIELDS, "objects": [{"n": 1}, {"n": 2}]}
    assert spoken(template, fields, constant=True) == text
