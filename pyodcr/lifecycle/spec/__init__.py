"""From what the user asked to the OCI runtime's config.json."""
