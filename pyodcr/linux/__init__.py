"""One thin module per idea of the Linux kernel; nothing here knows what a container is."""
