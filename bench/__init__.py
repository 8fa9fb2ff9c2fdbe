"""What zaptrace costs, each number next to a plain rival measured in the same run."""
