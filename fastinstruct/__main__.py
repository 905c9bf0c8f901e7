"""`python -m fastinstruct`."""

from fastinstruct.cli import main

main()
