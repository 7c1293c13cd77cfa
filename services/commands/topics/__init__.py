"""`civicloom topics`: the Kafka topics, who may use them, and the brokers' users."""

import typer

from services.commands.topics.declared import topics
from services.commands.topics.rights import acl
from services.commands.topics.users import users

topics.add_typer(acl)
topics.add_typer(users)


def register(cli: typer.Typer) -> None:
    cli.add_typer(topics)
