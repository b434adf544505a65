"""Freezing a container into an archive, and bringing it back."""
