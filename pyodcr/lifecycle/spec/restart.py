"""`--restart` as typed: which policy, and how often."""

from __future__ import annotations

from pyodcr.errors import UsageError

POLICIES = ("no", "on-failure", "always", "unless-stopped")


def parse(text: str, *, rm: bool) -> tuple[str, int]:
    """(policy, retries); "" is none, 0 retries are endless ones. Rules and words are Podman's."""
    policy, colon, count = text.partition(":")
    if policy.lower() == "never":
        policy = "no"
    if policy and policy not in POLICIES:
        raise UsageError(f'"{policy}" is not a valid restart policy', hint=f"policies: {', '.join(POLICIES)}")
    if rm and policy in ("always", "unless-stopped"):
        raise UsageError('the --rm option conflicts with --restart, when the restartPolicy is not "" and "no"')
    if not colon:
        return policy, 0
    if policy != "on-failure":
        raise UsageError("restart policy retries can only be specified with on-failure restart policy")
    if not count.isdecimal() or len(count) > 9:
        raise UsageError(f'the restart policy retry count must be a number of 0 or more, not "{count}"')
    return policy, int(count)
