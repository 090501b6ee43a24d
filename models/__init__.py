"""One page per method; shared pages start with an underscore."""
