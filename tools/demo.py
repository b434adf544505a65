"""make demo: a Redis with 100,000 keys moves to another host through a file, and back through S3.

Runs in the test host; everything is in the package `tour` beside this file.
"""

from __future__ import annotations

import sys

from tools.tour.journey import main

if __name__ == "__main__":
    sys.exit(main())
