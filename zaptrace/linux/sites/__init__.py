"""Places in programs at which a system call could be served without a stop: found, and remembered."""
