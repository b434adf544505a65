"""Where archives go to and come from: a path, a pipe, S3, and what plugins add."""
