"""Where archives go to and come from: a path, a pipe, S3, and what plugins add."""

from pyodcr.checkpoint.destinations.base import Destination, ObjectInfo, Upload
from pyodcr.checkpoint.destinations.registry import abort, resolve

__all__ = ["Destination", "ObjectInfo", "Upload", "abort", "resolve"]
