"""A pod: its life, its checkpoint, its restore."""
