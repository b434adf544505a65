"""From what the user asked to the OCI runtime's config.json."""

VERSION = "1.2.0"  # of the runtime spec
