"""The command line: parse, build an options value, one engine call, print."""
