from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pyodcr import jsonio
from pyodcr.cli import units
from pyodcr.errors import UsageError

MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (MINUTE, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (59 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (HOUR + 29 * MINUTE, "About an hour"),
        (HOUR + 31 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (2 * DAY, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (731 * DAY, "2 years"),
    ],
)
def test_durations_are_go_units(seconds: float, said: str) -> None:
    assert units.duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1234, "1.23kB"),
        (999_499, "999kB"),
        (999_999, "1MB"),
        (2_181_120, "2.18MB"),
        (123_456_789_012, "123GB"),
    ],
)
def test_sizes(count: int, said: str) -> None:
    assert units.size(count) == said


def test_a_size_with_a_space() -> None:
    assert units.size(2_181_120, space=" ") == "2.18 MB"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01T10:00:00Z", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01T10:00:00.123456789+02:00", datetime(2026, 5, 1, 8, 0, 0, 123456, tzinfo=UTC)),
        ("2026-05-01T10:00:00", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01", datetime(2026, 5, 1, tzinfo=UTC)),
        ("1777629600", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("1777629600.5", datetime(2026, 5, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    assert units.moment(text, "--since") == expected


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("10m", timedelta(minutes=10)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("500ms", timedelta(milliseconds=500)),
        ("-10m", timedelta(minutes=-10)),
        ("0s", timedelta()),
    ],
)
def test_spans_lead_back_or_ahead(text: str, span: timedelta) -> None:
    before = jsonio.now()
    back, ahead = units.moment(text, "--since"), units.moment(text, "--until", ahead=True)
    after = jsonio.now()
    assert before - span <= back <= after - span
    assert before + span <= ahead <= after + span


@pytest.mark.parametrize("text", ["yesterday", "m10", "10m5", "nan", "inf", "1e300", "2026-13-01", "10 m", ""])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        units.moment(text, "--since")
    assert caught.value.message == f'--since "{text}" is not a time'


def test_timestamps_are_gos() -> None:
    said = units.timestamp(datetime(2026, 5, 1, 10, 0, 0, 120_000, tzinfo=UTC))
    clock, date_zone = said.split(" ")[1], said.split(" ")[2:]
    assert clock.endswith(":00.12")
    assert len(date_zone) == 2
    assert units.timestamp(datetime(2026, 5, 1, 10, tzinfo=UTC)).split(" ")[1].endswith(":00")
