"""pyodcr: checkpoint, restore and migration of Linux containers.

The public Python API is :class:`pyodcr.engine.Engine`, the frozen models in
:mod:`pyodcr.lifecycle.models`, and the error tree in :mod:`pyodcr.errors`.
"""

__version__ = "0.1.0"
