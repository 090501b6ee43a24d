"""An external package that adds a method to tuner."""
