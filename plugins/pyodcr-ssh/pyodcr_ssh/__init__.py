"""Archives on any host that ssh reaches: the destination ``ssh://[user@]host[:port]/path`` of pyodcr."""
