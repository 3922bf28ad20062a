"""``python -m builder`` is the ``torch2triton`` command."""

from builder.cli import main

if __name__ == "__main__":
    main()
