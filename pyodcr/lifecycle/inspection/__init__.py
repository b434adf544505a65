"""The parts of what `inspect` shows of a container: pure functions of its configuration, spec and state.

Keys and rules are Podman's (``libpod/define/container_inspect.go``, ``libpod/container_inspect*.go``), all keys always
there: what Podman leaves out when it is empty is empty here.
"""
