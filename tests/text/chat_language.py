"""Small templates, each about one feature of the language, and the variables that they see.

make_chat_fixtures.py renders them with transformers' own environment.
"""

VARIABLES = {
    "a": 1,
    "b": 2.5,
    "neg": -7,
    "s": "Hello World",
    "u": "Übel ñandú 漢字 😀x",
    "q": "it's \"q\" \\ \t<&>",
    "ml": "line1\n  line2\n\nline4\n",
    "e": "",
    "l": [3, 1, 2],
    "d": {"x": 1, "y": [1, 2], "items": 5, "n": None, "sub": {"k": "v"}},
    "rows": [{"n": "b", "v": 2}, {"n": "A", "v": 1}, {"n": "c"}, {"n": "a", "v": 2}],
    "t": True,
    "f": False,
    "z": None,
}

EXPRESSIONS = """
a | b | s | l | d | t | z | q | [q, u, "\\n\\x00\\u200b", 'a"b'] | (1,) | () | (1, 'x')
a + b | a / 2 | 7 // 2 | -7 // 2 | -7 % 3 | 7 % -3 | 7.5 // 2 | -7.5 % 2 | 2 ** 10 | 2 ** -1 | -2 ** 2 | 2 ** 3 ** 2 | +a
1e16 | 1e15 | 0.1 | 1e-5 | 100.0 | 1.5e300 * 1e10 | 123456789.125 | 0x1F | 0b11 | 0o17 | 1_000 | 1.5e3 | 3.0 == 3 | t + t
1 / 0 | 1 % 0 | a + s | s + a | s - s | l + d | nope + 1 | -s | nope.x | nope['x'] | nope() | s() | a.b.c | z.x | d.nope.x
l + [4] | l * 2 | 'ab' * 3 | 2 * 'ab' | 'ab' * -1 | (1,) + (2,) | 'a' 'b' "c" | 1 ~ 'a' ~ z ~ nope ~ l
1 < 2 < 3 | 1 < 2 > 3 | 1 == 1.0 | 'a' < 'b' | [1, 2] < [1, 3] | l == [3, 1, 2] | d == d | 1 < 'a' | z < 1 | nope < 1 | nope == nope2
'W' in s | 'w' in s | 1 in l | 5 not in l | 'x' in d | 'k' not in d | 1 in s | 1 in a | 'a' in nope | not 1 == 2 | not t and f
t and s | f and s | e or 'other' | z or e or 0 | t or nope.x | a and b and l | (a or b) and e
'yes' if t else 'no' | 'yes' if f | 'a' if f else 'b' if f else 'c' | ('a' if f) is defined
l[0] | l[-1] | l[5] | l[1:] | l[:-1] | l[::2] | l[::-1] | l[5:1:-2] | l.0 | d.y.1 | d['y'][0] | s[1:4] | u[-3:] | u[::-1] | u[4] | u[100:] | s[::0]
d.x | d['x'] | d.items is mapping | d['items'] | d.nope | d.get('q') | d.get('q', 5) | d.get('x', 5) | d.items() | d.keys() | d.values() | d.sub.k
d.items()|list | d.keys()|first | d|items|list | d|dictsort | d|dictsort(reverse=true) | {'B': 1, 'a': 3}|dictsort(by='value') | d|length | d|list
l.append(4) | d.pop('x') | d.update({}) | l.index(1) | l.count(3) | l.index(9) | s.nope | s.nope() | d.clear is defined
s|upper | s|lower | u|upper | u|title | u|capitalize | 'a b-c (d [e {f <g'|title | 'HELLO'|capitalize | s.title() | s.swapcase() | "it's o'clock".title()
s|length | u|length | l|count | e|length | nope|length | a|length | range(5)|length | s|first | u|last | l|first | []|first | l|last | nope|first
l|sort | l|sort(reverse=true) | ['b', 'A', 'c']|sort | ['b', 'A', 'c']|sort(case_sensitive=true) | rows|sort(attribute='n')|map(attribute='n')|join(',')
rows|sort(attribute='v,n') | rows|sort(attribute='n,v', reverse=true)|map(attribute='n')|list | [1, 'a']|sort | l|reverse|list | s|reverse | l|unique|list | ['a', 'A', 'b']|unique|list
rows|map(attribute='v', default=9)|list | rows|map(attribute='n')|map('upper')|list | l|map('string')|join('+') | [d]|map(attribute='sub.k')|list | l|map('nope')|list
rows|selectattr('v')|list | rows|selectattr('v', 'equalto', 2)|list | rows|rejectattr('v', 'defined')|list | l|select('odd')|list | l|reject('odd')|list | l|select|list | rows|selectattr('n', 'in', ['a', 'b'])|list | z|selectattr('n')|list | z|map('upper')|list | 5|map('upper') is defined | 5|map('upper')|list
l|max | l|min | l|sum | rows|selectattr('v', 'defined')|sum(attribute='v') | ['b', 'A']|max | []|max | rows|min(attribute='n') | [[1], [2]]|sum(start=[])
l|batch(2)|list | l|batch(2, 'x')|list | l|slice(2)|list | range(7)|slice(3, 'f')|list | rows|groupby('v')|list
l|join | l|join('-') | rows|join(', ', attribute='n') | ['<', 1, z]|join('|') | s|join('.') | ', '.join(['a', 'b']) | ','.join(l)
s|replace('l', 'L') | s|replace('l', 'L', 2) | s.replace('o', '0', 1) | 'aaa'.replace('', '-') | 'abc'.replace('', '-', 2) | s|replace('', '.') | e.replace('', 'x')
ml|indent | ml|indent(2, true) | ml|indent('>>', blank=true) | ml|indent(first=true, width=1) | e|indent(first=true) | ml.splitlines() | ml.splitlines(true) | ml.split() | ml.split('\\n') | 'a\\r\\nb\\x0bc'.splitlines()
s.split('o') | s.split('o', 1) | s.rsplit('o', 1) | ' a  b '.split() | ' a  b c '.split(none, 1) | ' a b c '.rsplit(none, 1) | s.split('') | 'a,b'.split(sep=',') | e.split(',') | e.split() | s.partition('o') | s.rpartition('o') | s.partition('q')
'  x '|trim | '--x-'|trim('-') | ' x '.strip() | 'xaxbx'.strip('ax') | ' x'.lstrip() | 'x\\u00a0\\u3000'.rstrip() | '\\x1cx'.strip() | 'éaé'.strip('é') | 'x'.strip('')
s.startswith('He') | s.startswith('lo', 3) | s.endswith(('x', 'ld')) | s.find('o') | s.find('o', 5) | s.rfind('o') | s.find('q') | s.index('W') | s.index('q') | s.count('l') | u.find('漢') | s.find('o', -4) | s.find('', 3) | s.find('', 30) | s.count('')
s.center(21, '*') | 'ab'.center(5) | 'abc'|center(10) | 'ab'.ljust(4, '.') | 'ab'.rjust(4) | '-5'.zfill(4) | '7'.zfill(3) | 'TestCase'.removeprefix('Test') | 'TestCase'.removesuffix('Case')
'12'.isdigit() | '1a'.isalnum() | 'é'.isalpha() | ' \\t'.isspace() | e.isspace() | 'AB1'.isupper() | 'ab'.islower() | 'Ab Cd'.istitle() | '½'.isnumeric() | '٣'.isdecimal() | '²'.isdigit() | 'a'.isascii()
'42'|int + 1 | '4.7'|int | 'x'|int(7) | 'ff'|int(0, 16) | ' 12 '|int | '1_0'|int | 2.9|int | -2.9|int | t|int | z|int | nope|int(3) | '1e3'|int | '1.5'|float | 'x'|float | '1e-3'|float | 'inf'|float | l|int
2.5|round | 3.5|round | 2.345|round(2) | 2.3|round(0, 'ceil') | 2.7|round(method='floor') | 1234|round(-2) | 1250.5|round(-2) | 5|round | 0.5|round | -0.4|round | 1e300|round(3) | -3|abs | -2.5|abs | s|abs
nope|default('D') | e|default('D') | e|default('D', true) | z|d('D') | d.q|default('none') | nope|default | f|default(1, boolean=true)
d|tojson | d|tojson(indent=2) | u|tojson | u|tojson(ensure_ascii=true) | d|tojson(separators=(',', ':')) | {'b': 1, 'a': []}|tojson(sort_keys=true, indent=4) | q|tojson | [1.0, 1e-7, 1e16, 0.1, z, t, [], {}, ()]|tojson | nope|tojson | range(2)|tojson | {1: 'a', z: 'b', t: 'c', 1.5: 'd'}|tojson | l|tojson(indent='--') | '\\x00\\x1f\\x7f\\b\\f'|tojson | '\\x7f😀'|tojson(ensure_ascii=true) | rows|tojson(indent=1)
"<a>"|e | "<a>"|safe + "<b>" | "<a>" + ("<b>"|safe) | "<b>"|escape|upper | ("<a>"|safe) ~ "<b>" | '"\\'&'|e | ("<a>"|safe)|string|e | [('<'|safe), '<']|join('&') | "<i>"|e is escaped | ("<a>"|safe)|forceescape | (d|tojson|safe)|length
'%s-%d-%.2f' % ('a', 5, 2.345) | '%05d|%-5s|%5s|%x|%X|%o|%%' % (42, 'ab', 'c', 255, 255, 8) | '%(k)s' % {'k': 1} | '%r' % s | '%s' % z | '%e|%g|%G' % (1234.5, 1e-10, 1e20) | '%+d|% d|%c' % (1, 2, 'x') | '%s' | '%d' % 'x' | '%s %s' % 'a' | 'a' % 1 | '%s %s'|format(1, 2) | '%*d' % (5, 1)
'{} {}'.format(1, 'x') | '{1}{0}'.format(1, 2) | '{0:>5}|{x:.2f}|{y!r}'.format(7, x=1.239, y='s') | '{:,}|{:+d}|{:x}|{:08.3f}|{:^7}|{:%}'.format(1234567, 5, 255, 3.14159, 'mid', 0.25) | '{{}}'.format() | '{a.x}|{a[y]}'.format(a=d) | '{'.format() | '{} {1}'.format(1) | '{:*<6}'.format('ab')
a is odd | a is even | neg is odd | a is number | a is integer | b is float | t is integer | t is number | t is boolean | t is true | f is false | 1 is true | s is string | d is mapping | l is mapping | l is sequence | d is sequence | s is sequence | s is iterable | a is iterable | range(2) is sequence | nope is iterable | z is none | nope is none
nope is defined | nope is undefined | d.x is defined | d.q is not defined | 4 is divisibleby 2 | 1 is eq 1 | 1 is eq(2) | 'a' is in 'abc' | a is gt 0 | a is lessthan 5 | a is ne 1 | s is lower | 'abc' is lower | 'ABC' is upper | z is sameas none | 'upper' is filter | 'odd' is test | 'nope' is filter | s.upper is callable | s is callable
range(3) | range(3)|list | range(2, 5)|list | range(10, 0, -3)|list | range(0) | range(1, 9, 3) | range(5)[1:3]|list | range(5)[-1] | range(1000000) | range(1, 2, 0) | 3 in range(5)
dict(a=1, b=2) | dict({'x': 1}, y=2) | dict([('p', 1), ('q', 2)]) | {'a': 1, 'a': 2} | {} | {1: 2}[1] | {[1]: 2} | namespace(a=1) | namespace(a=1).a | namespace().nope | namespace(_x=1)
strftime_now('%Y-%m-%d %H:%M:%S') | strftime_now('%B %b %A %a %j %-d %e %I %p %y %%') | strftime_now('%d %B, %Y')
s|wordcount | s|truncate(8) | s|truncate(8, true) | s|truncate(5, true, '', 0) | s|truncate | 'a b/c?é'|urlencode | s|string | a|string + 'x' | l|list | d|attr('items') is callable | d|attr('x') is defined
raise_exception('No: ' ~ s) | raise_exception(u) | raise_exception() | raise_exception(5)
s|nope | s is nope | (s|nope) if f else 'ok' | 'ok' if t else (s is nope)
messages|length | messages[0].role | messages[-1]['content'] | messages|map(attribute='role')|join(' ') | tools | documents | add_generation_prompt | bos_token ~ eos_token | pad_token is defined
9223372036854775807 | 9223372036854775806 + 1 | -9223372036854775807 - 1 | 3 * 3 ** 20 | s.upper().lower().title() | (s|upper).lower() | s|upper|lower|first | [s][0][0] | ((((a)))) | not not a | - - a | {'a': {'b': [1, {'c': 2}]}}.a.b[1].c
"""

STATEMENTS = [
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}"
    "{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.depth }}; {% endfor %}",
    "{% for k, v in d.items() if v %}{{ k }}={{ v }},{{ loop.length }} {% else %}none{% endfor %}",
    "{% for x in [] %}x{% else %}empty{% endfor %}{% for x in nope %}x{% else %}undefined{% endfor %}",
    "{% for x in 5 %}x{% endfor %}",
    "{% for c in u %}{{ c }}.{% endfor %}",
    "{% for x in l recursive %}{{ x }}{% endfor %}",
    "{% for i in [1, [2, [3, 4]], 5] recursive %}{% if i is iterable %}({{ loop(i) }}){{ loop.depth }}{% else %}{{ i }}"
    "{% endif %}{% endfor %}",
    "{% for x in l %}{{ loop(x) }}{% endfor %}",
    "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}",
    "{% for x in l %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ y }} {% endfor %}{% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{% if loop.changed(x) %}{{ x }}{% endif %}{% endfor %}",
    "{% set ns = namespace(x=1) %}{% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{% if i == 1 %}{% continue %}"
    "{% endif %}{% set ns.x = ns.x + i %}{{ i }}{% endfor %}{{ ns.x }} {{ ns }}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}",
    "{% for i in l %}{% if loop.first %}{% set x = 5 %}{% endif %}{{ x }},{% endfor %}{{ x is defined }}",
    "{% if t %}{% set x = 1 %}{% endif %}{{ x }}{% if f %}{% set y = 1 %}{% endif %}{{ y is defined }}",
    "{% if f %}1{% elif e %}2{% elif a == 1 %}3{% else %}4{% endif %}{% if z %}{% else %}no{% endif %}",
    "{% set x, y = 1, 2 %}{{ x }}{{ y }}{% set (p, q2) = [3, 4] %}{{ p }}{{ q2 }}{% set v = 1, 2 %}{{ v }}",
    "{% set x, y = [1] %}",
    "{% set x, y = 1, 2, 3 %}",
    "{% for a1, (b1, c1) in [(1, (2, 3))] %}{{ a1 }}{{ b1 }}{{ c1 }}{% endfor %}",
    "{% set s.x = 1 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% set ns = namespace(a=1, b='x') %}{% set ns.c = [ns.a] %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.d is defined }}",
    "{% set x %}a{{ a }}{% set inner = 1 %}{% endset %}{{ x }}{{ inner is defined }}{% set x | upper | trim %}  abc {% endset %}[{{ x }}]",
    "{% macro m(a, b=2, c='x') %}[{{ a }},{{ b }},{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m() }}{{ m(b=1, a=2) }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m.name }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% set g = 1 %}{% macro m() %}{{ g }}{{ x is defined }}{% endmacro %}{% set g = 2 %}{% for x in l %}{{ m() }}{% endfor %}",
    "{% macro w() %}<{{ caller() }}>{% endmacro %}{% call w() %}hi {{ a }}{% endcall %}",
    "{% macro w() %}<{{ caller(1, y=2) }}>{% endmacro %}{% call(x, y) w() %}{{ x }}-{{ y }}{% endcall %}",
    "{% macro w() %}x{% endmacro %}{% call w() %}hi{% endcall %}",
    "{% macro w() %}{{ caller() }}{% endmacro %}{{ w() }}",
    "{% macro m(*a) %}{% endmacro %}",
    "{{ '%s %s'|format(*['x', 'y']) }}{{ dict(**{'k': 1}) }}{{ s.replace(*('l', 'L')) }}",
    "{% filter upper %}abc {{ s }}{% endfilter %}{% filter replace('a', 'b') | trim %} aa {% endfilter %}",
    "{% with x = 5, y = 6 %}{{ x + y }}{% endwith %}{{ x is defined }}{% with %}{% set a = 9 %}{{ a }}{% endwith %}{{ a }}",
    "{% generation %}{% set x = 1 %}said {{ x }}{% endgeneration %}{{ x is defined }}",
    "{% raw %}{{ a }}{% for %}{# #}{% endraw %}|{%- raw -%}  x  {%- endraw -%}  y",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}",
    "{% set j = joiner('; ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}",
    "{% set g = l | map('string') %}{{ g | join('-') }}|{{ g | join('-') }}",
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message.content + eos_token }}\n{% endfor %}",
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('order') }}{% endif %}{% endfor %}ok",
    "{% for m in messages if m.role == 'assistant' %}{{ loop.index }}/{{ loop.length }} {{ m }}\n{% endfor %}",
    # White space.
    "a\n{% if t %}\nb\n{% endif %}\nc\n",
    "a\n   {% if t %}   \n  b\n   {% endif %}  \nc\n\n",
    "a  {%- if t -%}  b  {%- endif -%}  c",
    "  {%+ if t %}\n x\n  {%+ endif +%}\n y",
    "  {{ a }}\n  {{- a -}}  \n {{ a }}\n",
    "a {# x #}\n  {# y #}\n  {#- z -#}  b {#+ w +#}\nc",
    "\n\n{% if t %}\n\n{{ a }}\n\n{% endif %}\n\n",
    "a\r\n{% if t %}\r\nb\rc{% endif %}\r\n",
    "\t{% set x = 1 %}\n\t{{ x }}\t{% set y = 2 %}\n{{ y }}",
    "x{% if t %} y {% endif %} z",
    "{%- for x in l %}\n    {{- x }}\n    {%- if not loop.last %}\n        {{- ', ' }}\n    {%- endif %}\n{%- endfor %}\n",
    "  {% raw %}\n  x\n  {% endraw %}\n  y",
    "{{ '}}' }}{{ '%}' }}{{ {'a': {'b': 1}}['a'] }}{{ \"{{\" }}{{ '{#' }}",
    "{%if t%}{{a}}{%endif%}{{-a-}}{{a}}{{ a}}",
    "text only",
    "",
    "\n",
    "{ { } } {x} %} }} #}",
    # Errors.
    "{% if %}{% endif %}",
    "{% if a %}",
    "{% endif %}",
    "{% for x l %}{% endfor %}",
    "{{ a b }}",
    "{{ }}",
    "{{ (a }}",
    "{{ a",
    "{% nope %}",
    "{# no end",
    "{% raw %} no end",
    "{{ 'no end }}",
    "{{ a | }}",
    "{{ 1 is odd is even }}",
    "{{ f(a=1, 2) }}",
    "{% set true = 1 %}",
    "{% break %}",
    "{{ a.'b' }}",
    "{{ $ }}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% call s %}{% endcall %}",
    "{% set a.b.c = 1 %}",
    "{% for x in l %}{% endif %}",
]

TEMPLATES = [
    "{{ " + e.strip() + " }}" for line in EXPRESSIONS.strip().splitlines() for e in line.split(" | ") if e.strip()
] + STATEMENTS
