"""The tour that `make demo` gives."""
