"""The test host: a Debian tree with a CRIU that fits the kernel, and how to run commands inside it.

    recipe   what the tree is made of            build    make it, once, in the cache
    apt      the machine's mirror and settings   venv     the Python environment inside it
    syscalls mounts and namespaces               root     assemble the root file system of a session
    cgroups  a session's own part of the tree    session  enter: namespaces, init, clean-up
    second   another host beside the first one

Standard library only: it runs under the machine's own Python before anything is installed.
"""
