"""make bench: pyodcr against Podman, alternating, in the test host; see docs/performance.md."""
