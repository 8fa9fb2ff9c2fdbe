"""How two hosts talk: keys, channels, the wire."""
