"""Bytes at rest: manifest, image, sink."""
