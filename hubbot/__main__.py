"""`python -m hubbot`: the command line."""

from hubbot.cli.main import main

if __name__ == "__main__":
    main()
