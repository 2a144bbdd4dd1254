"""`python -m fedrouter_sim`: the command line, where its script is not on the path."""

from fedrouter_sim.cli import main

if __name__ == "__main__":  # worker processes import this module, too
    main()
