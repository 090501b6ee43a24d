"""A package outside of tuner that offers a method to it."""
