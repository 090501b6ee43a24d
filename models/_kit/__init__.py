"""What methods share: networks, training loops, mixtures, pretraining."""
