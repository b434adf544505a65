"""Networks: their definitions, the namespace of a container, netavark, names and ports."""
