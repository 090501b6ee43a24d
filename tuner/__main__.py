"""`python -m tuner`, the same as `tuner`."""

from .cli import main

if __name__ == "__main__":
    main()
