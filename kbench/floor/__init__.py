"""The least excess loss that free vectors reach on the embedded world: what no tower can better."""
