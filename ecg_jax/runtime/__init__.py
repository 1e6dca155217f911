"""What a run needs from the machine: devices, checkpoints, signals, metric files."""
