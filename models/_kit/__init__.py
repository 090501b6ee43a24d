"""Building blocks that methods share: layers, training loops, mixtures, pretraining."""
