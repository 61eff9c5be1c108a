"""`python -I -m agent`: the command `oddsd` for service managers, free of every PYTHON* variable."""

from agent.cli import main

main()
