"""Templates as text/template evaluates them; what is expected was checked against Podman where it has the function."""

from __future__ import annotations

from typing import Any

import pytest

from pyodcr.cli.template import Template
from pyodcr.errors import UsageError
from pyodcr.jsonio import Table

DATA: dict[str, Any] = {
    "Id": "0123456789abcdef",
    "Names": ["web", "front"],
    "Pid": 42,
    "Ratio": 0.5,
    "Empty": [],
    "Nothing": None,
    "State": {"Status": "running", "Running": True, "ExitCode": 0},
    "Config": {"Labels": Table({"a": "1", "b.c": "2"}), "Env": ["A=1", "B=2"]},
    "Ports": Table({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": []}),
    "network_interface": "pyodcr0",
    "Label": {"a": "1"}.get,
}


def render(text: str, data: Any = DATA) -> str:
    return Template(text).render(data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{.Id}}", "0123456789abcdef"),
        ("{{ .State.Status }}!", "running!"),
        ("{{.ID}} {{.NetworkInterface}}", "0123456789abcdef pyodcr0"),
        ("{{.Config.Labels.a}}", "1"),
        ("{{.Config.Labels.none}}", "<no value>"),
        ('{{index .Config.Labels "b.c"}}{{index .Config.Labels "none"}}', "2"),
        ("{{index .Names 1}}", "front"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        (
            "{{.Names}} {{.Config.Labels}} {{.State.Running}} {{.Nothing}} {{.Ratio}}",
            "[web front] map[a:1 b.c:2] true <nil> 0.5",
        ),
        ("{{.State}} {{.Ports}}", "{running true 0} map[443/tcp:[] 80/tcp:[{0.0.0.0 8080}]]"),
        ("{{json .State}}", '{"Status":"running","Running":true,"ExitCode":0}'),
        ("{{json .Nothing}} {{json .Id}}", 'null "0123456789abcdef"'),
        ("{{.State | json}}", '{"Status":"running","Running":true,"ExitCode":0}'),
        ('{{join .Names ","}}', "web,front"),
        ('{{join .Id ","}}', "0123456789abcdef"),
        ("{{upper .State.Status}} {{.State.Status | upper | lower | title}}", "RUNNING Running"),
        ("{{len .Names}} {{len .Id}} {{len .Config.Labels}} {{len .Nothing}}", "2 16 2 0"),
        ("{{slice .Id 0 4}} {{slice .Names 1}} {{truncate .Id 3}}", "0123 [front] 012"),
        ('{{split "a:b" ":"}} {{pad "x" 1 2}}|', "[a b]  x  |"),
        ('{{println "a" 1}}b', "a 1\nb"),
        ('{{print "a" 1 2 "b"}}', "a1 2b"),
        ('{{printf "%s is %d of %q" .State.Status .Pid "x"}}', 'running is 42 of "x"'),
        (
            '{{printf "%5.1f|%-5s|%5s|%v %t %x%%" .Ratio "ab" "c" .Names true 255}}',
            "  0.5|ab   |    c|[web front] true ff%",
        ),
        ('{{"a\\tb"}}{{`raw\\n`}}', "a\tbraw\n".replace("\n", "\\n")),
        ("a\\tb\\n", "a\tb\n"),
        ("{{/* nothing */}}x {{- /* nor this */ -}} y", "xy"),
        ("a {{- 1 -}} b {{-3}}", "a1b -3"),
        ("{{range .Names}}<{{.}}>{{end}}", "<web><front>"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range $i, $name := .Names}}{{$i}}={{$name}} {{$.Pid}};{{end}}", "0=web 42;1=front 42;"),
        ("{{range $name := .Names}}{{$name}} {{end}}", "web front "),
        (
            "{{range $port, $hosts := .Ports}}{{$port}}:{{range $hosts}}{{.HostPort}}{{end}} {{end}}",
            "443/tcp: 80/tcp:8080 ",
        ),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .Empty}}a{{else if .Nothing}}b{{else}}c{{end}}", "c"),
        ("{{if .Empty}}a{{else if .Pid}}b{{end}}", "b"),
        ("{{with .State}}{{.Status}}{{end}}{{with .Nothing}}x{{else}}y{{end}}", "runningy"),
        ("{{$x := .Pid}}{{$x}}{{if true}}{{$x = 7}}{{end}}{{$x}}", "427"),
        ("{{if $x := .Pid}}{{$x}}{{end}}", "42"),
        ('{{if eq .State.Status "exited" "running"}}y{{end}}', "y"),
        ('{{if and .Pid (ne .State.Status "exited")}}y{{end}}', "y"),
        ("{{and .Pid .Nothing}} {{or .Nothing .Pid}} {{not .Pid}}", "<nil> 42 false"),
        ("{{or .Pid (index .Names 9)}}", "42"),  # what is not needed is not evaluated
        ("{{lt .Pid 43}} {{ge 1 2}} {{gt 1.5 1}} {{le 1 1}}", "true false true true"),
        ('{{.Label "a"}}', "1"),
        ("{{.Nothing.Deep.Deeper}}", "<no value>"),
        ("{{true}} {{nil | json}}", "true null"),
    ],
)
def test_renders(text: str, expected: str) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{.Id", "unclosed action at character 1"),
        ("ab {{.Foo}}", "there is no field .Foo at character 6"),
        ("{{.State.Foo}}", "there is no field .Foo at character 9"),
        ("{{.Id.Foo}}", "a string has no field .Foo at character 6"),
        ("{{foo .Id}}", 'there is no function "foo" at character 3'),
        ("{{end}}", "unexpected {{end}} at character 1"),
        ("{{else}}", "unexpected {{else}} at character 1"),
        ("x{{if .Id}}a", "{{if}} without {{end}} at character 2"),
        ("{{range .Names}}{{if .}}{{end}}", "{{range}} without {{end}} at character 1"),
        ("{{if .Id}}{{else}}{{else}}{{end}}", "a second {{else}} at character 19"),
        ("{{if}}x{{end}}", "missing value at character 5"),
        ("{{(.Id}}", "unclosed parenthesis at character 3"),
        ('{{"abc}}', "unterminated string at character 3"),
        ("{{.Id ~}}", "unexpected '~' at character 7"),
        ("{{.Id )}}", "unexpected ')' at character 7"),
        ("{{$x}}", "there is no variable $x at character 3"),
        ("{{.Id .Pid}}", "a string takes no arguments at character 3"),
        ('{{"a" "b"}}', '"a" is not a function at character 3'),
        ("{{upper}}", "upper cannot take 0 such arguments at character 3"),
        ("{{index .Names 7}}", "index: 7 is out of range: it has 2 at character 3"),
        ('{{index .Names "x"}}', "index: x cannot index a list at character 3"),
        ("{{range .Pid}}{{end}}", "cannot range over a number at character 9"),
        ('{{eq .Pid "42"}}', "eq: cannot compare a number with a string at character 3"),
        ("{{len .Pid}}", "len: a number has no length at character 3"),
        ('{{printf "%d" .Id}}', "printf: %d cannot show a string at character 3"),
        ('{{printf "%s"}}', "printf: %s has no value at character 3"),
        ('{{template "x"}}', "{{template}} is not supported at character 1"),
        ("table {{.Foo}}", "there is no field .Foo at character 9"),
    ],
)
def test_says_what_is_wrong_and_where(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        render(text)
    assert caught.value.message == f"invalid template: {said}"
    assert caught.value.code == "invalid-template"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{{.State.Stat}}", "there is .Status"),
        ("{{.State.exitCod}}", "there is .ExitCode"),
        ("{{.State.Xyz}}", "there is .ExitCode, .Running, .Status"),
    ],
)
def test_an_unknown_field_is_answered_with_those_there_are(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        render(text)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "heading", "row"),
    [
        ("table {{.Id}} {{.State.Status}}", "CONTAINER ID\tSTATUS", "0123456789abcdef\trunning"),
        ('table {{.Id}}\\t{{join .Names ", "}}', "CONTAINER ID\tNAMES", "0123456789abcdef\tweb, front"),
        ("table {{upper .State.Status}}", "STATUS", "RUNNING"),
        ("table {{if .Pid}}{{.Pid}}{{else}}-{{end}}", "PID", "42"),
        ("table {{.State.ExitCode}}", "EXIT CODE", "0"),
    ],
)
def test_tables_have_headings(text: str, heading: str, row: str) -> None:
    template = Template(text)
    assert template.is_table
    assert template.heading({"Id": "CONTAINER ID"}) == heading
    assert template.render(DATA) == row


def test_a_range_over_the_dot_takes_all_rows() -> None:
    template = Template("{{range .}}{{.Id}};{{end}}")
    assert template.takes_all
    assert template.render([{"Id": "a"}, {"Id": "b"}]) == "a;b;"
    assert not Template("{{range .Names}}{{.}}{{end}}").takes_all


def test_the_end_of_a_line() -> None:
    assert Template("{{.Id}}\\n").ends_line
    assert not Template("{{.Id}}").ends_line
