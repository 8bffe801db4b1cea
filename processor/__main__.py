"""`python -m processor` is the command `span-processor`."""

from processor.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
