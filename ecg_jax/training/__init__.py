"""Learning from batches: losses, optimizers, freezing, pure steps, and the loop around them."""
