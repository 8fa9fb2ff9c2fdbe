"""One process per pod: runtime directory, control socket, verbs, terminal, logs."""
