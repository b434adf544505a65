"""Images, layers, and the overlay root filesystems made of them."""
