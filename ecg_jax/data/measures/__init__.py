"""What is measured of one signal: the numbers behind `verify` and `quality`."""
