"""Run the command line: `python -m commands`."""

from commands.app import app

app()
