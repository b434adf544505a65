"""network: create, ls, inspect, rm."""

from __future__ import annotations

from typing import Annotated

import typer

from pyodcr.cli import output, stores
from pyodcr.cli.failures import for_each
from pyodcr.cli.output import Columns
from pyodcr.cli.session import engine, new_app
from pyodcr.errors import NotFound, UsageError
from pyodcr.jsonio import JsonObject
from pyodcr.lifecycle.network import report
from pyodcr.lifecycle.network.definitions import Network, NewNetwork

app = new_app()

SHORT_ID_CHARS = 12
COLUMNS = Columns(("ID", "name", "driver"), {"ID": "NETWORK ID"})

Names = Annotated[list[str] | None, typer.Argument(metavar="NETWORK...", help="Names or IDs")]


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Without one, a free one is chosen")] = "",
    subnets: Annotated[
        list[str] | None, typer.Option("--subnet", metavar="CIDR", help="Without one, a free one is chosen")
    ] = None,
    gateways: Annotated[list[str] | None, typer.Option("--gateway", metavar="IP", help="Of the subnet")] = None,
    ip_ranges: Annotated[
        list[str] | None, typer.Option("--ip-range", metavar="CIDR|IP-IP", help="Hand out only these addresses")
    ] = None,
    ipv6: Annotated[bool, typer.Option("--ipv6", help="With an IPv6 subnet too")] = False,
    internal: Annotated[bool, typer.Option("--internal", help="No way out of it")] = False,
    disable_dns: Annotated[bool, typer.Option("--disable-dns", help="No looking up containers by name")] = False,
    dns: Annotated[list[str] | None, typer.Option("--dns", metavar="IP", help="Servers for other names")] = None,
    driver: Annotated[str, typer.Option("--driver", "-d", help="The one there is: bridge")] = "bridge",
    options: stores.Options = None,
    labels: Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Metadata")] = None,
    interface_name: Annotated[str, typer.Option(help="What to call the bridge")] = "",
    ignore: Annotated[bool, typer.Option("--ignore", help="If there is one of that name, fine")] = False,
) -> None:
    """Create a bridge network and print its name.

    The first --gateway and --ip-range belong to the first --subnet, and so on.
    """
    asked = NewNetwork(
        name=name,
        driver=driver,
        subnets=tuple(subnets or ()),
        gateways=tuple(gateways or ()),
        ip_ranges=tuple(ip_ranges or ()),
        ipv6=ipv6,
        internal=internal,
        disable_dns=disable_dns,
        dns_servers=tuple(dns or ()),
        interface_name=interface_name,
        labels=stores.pairs(labels, "label"),
        options=stores.pairs(options, "option"),
        ignore_existing=ignore,
    )
    with engine(ctx) as found:
        print(found.create_network(asked).name)


@app.command("list", hidden=True)
@app.command()
def ls(
    ctx: typer.Context,
    filters: stores.Filters = None,
    quiet: output.Quiet = False,
    no_trunc: output.NoTrunc = False,
    wanted: output.Format = "",
    noheading: stores.NoHeading = False,
) -> None:
    """List networks.

    Filters: dangling, driver, id, label, name.
    """
    with engine(ctx) as found:
        networks = found.listed_networks(filters or ())
    if output.is_json(wanted):
        output.show_json([report.listed(network) for network in networks])
    elif quiet and not wanted:
        for network in networks:
            print(network.name)
    else:
        rows = [_row(network, short=not no_trunc) for network in networks]
        output.show(rows, wanted, COLUMNS, heading=not noheading)


def _row(network: Network, *, short: bool) -> JsonObject:
    labels = ",".join(f"{name}={value}" for name, value in sorted(network.labels.items()))
    whole = report.listed(network, whole=True)
    fields = {name: value for name, value in whole.items() if name not in ("id", "labels")}
    return {**fields, "ID": network.id[:SHORT_ID_CHARS] if short else network.id, "Labels": labels}


@app.command()
def inspect(ctx: typer.Context, names: Names = None, wanted: output.InspectFormat = "") -> None:
    """Show everything known about networks, and the containers that are attached now."""
    if not names:
        raise UsageError("you must provide at least one name or id")
    with engine(ctx) as found:

        def find(ref: str, whole: bool) -> JsonObject:
            network = found.networks.get(ref)
            return report.inspected(network, found.network_users(network.name), whole=whole)

        stores.inspect_each(names, find, wanted)


@app.command()
def rm(ctx: typer.Context, names: Names = None, force: stores.Force = False, time: stores.Timeout = None) -> None:
    """Remove networks.

    Exit status 1: one was not found; 2: one is in use by a container.
    """
    if not names:
        raise UsageError("you must provide at least one name or id")
    with engine(ctx) as found:

        def act(ref: str) -> None:
            found.remove_network(ref, force=force, timeout_s=time)
            print(ref)

        for_each(names, act, ignoring=NotFound if force else None, status=stores.removal_status)
