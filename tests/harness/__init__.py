"""What the tests stand on: places, programs, runs in flavours, hosts, comparisons."""
