"""What ends the tour before its end."""

from __future__ import annotations


class TourFailed(Exception):
    """Something is not as it must be; the message is for the reader of the demo's output."""
