"""One file format each: a path becomes a `Recording` in millivolts."""
