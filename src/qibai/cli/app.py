"""The command ``qibai`` and its subcommands."""

from pathlib import Path
from typing import Annotated

import typer

from qibai.cli import (
    access,
    api_keys,
    audit,
    backup,
    bind,
    calls,
    code,
    demo,
    doctor,
    dual,
    init,
    keys,
    links,
    messages,
    migrate,
    migration,
    platform,
    pools,
    processes,
    release,
    reload,
    resources,
    route,
    send,
    settings,
    show,
    stats,
    tenant,
    terminate,
    trace,
    version,
)
from qibai.cli.options import State

app = typer.Typer(
    name="qibai",
    help="Qibai: number protection for China's 700 range.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback()
def root(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(envvar="QIBAI_HOME", help="Keys, data, configuration.", show_default=".qibai"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--as", envvar="QIBAI_AS", help="Who acts, for the audit trail.", show_default="user"),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=version.print_version),
    ] = False,
) -> None:
    """Temporary middle numbers for calls."""
    ctx.obj = State(home, name)


for _panel, _modules in {
    "Start": (demo, init, platform, stats, reload, doctor),
    "Work": (bind, show, release, route, calls, terminate, send, messages, links),
    "Administer": (backup, migrate, settings, access, processes, version),
    "Resources": (pools,),
    "Answer for": (trace,),
}.items():
    for _module in _modules:
        for _name, _command in _module.COMMANDS.items():
            app.command(_name, rich_help_panel=_panel)(_command)
for _module, _name in (
    (tenant, "tenant"),
    (code, "code"),
    (api_keys, "access"),
    (keys, "keys"),
    (dual, "dual"),
    (audit, "audit"),
):
    app.add_typer(_module.app, name=_name, rich_help_panel="Administer")
app.add_typer(dual.app, name="approvals", hidden=True)
app.add_typer(migration.app, name="migrate-bindings", rich_help_panel="Administer")
for _name, _app in resources.APPS.items():
    app.add_typer(_app, name=_name, rich_help_panel="Resources")
