"""The archive: libpod's tar, in seekable zstd frames, with pyodcr.json as its last entry."""
