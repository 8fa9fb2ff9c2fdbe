"""Talks to a stopped process and to this kernel."""
