"""A container's life: its models, state, storage, network, monitor, and the verbs that change it."""
