from commands.app import app

app()
