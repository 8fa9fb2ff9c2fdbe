"""What zaptrace costs, next to the plain thing and to rivals, on the same work in the same run.

experiments/  what is measured, a file each
systems/      on what, a file each
"""
