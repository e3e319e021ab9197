"""`python -m upbit_elt.replica`: serves the replica until SIGTERM or SIGINT."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from upbit_elt.errors import ConfigError
from upbit_elt.replica.app import create_replica, utc_now
from upbit_elt.replica.faults import KINDS, inject, parse_rates
from upbit_elt.replica.outage import from_file
from upbit_elt.replica.replay import ReplaySource
from upbit_elt.replica.roster import MOST_COINS
from upbit_elt.replica.server import make, serve
from upbit_elt.replica.source import Source
from upbit_elt.replica.synthetic import SyntheticSource


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8900, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--seed", default=0, show_default=True, help="Seed of the synthetic exchange.")
@click.option("--markets", default=289, show_default=True, type=click.IntRange(1, MOST_COINS), help="Coins per quote.")
@click.option("--quotes", default="KRW", show_default=True, help="Quote currencies, such as KRW,BTC,USDT.")
@click.option("--latency", default=0.0, show_default=True, type=click.FloatRange(0), help="Seconds per response.")
@click.option(
    "--replay",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of Parquet candles to replay instead; --seed, --markets and --quotes do not apply.",
)
@click.option(
    "--faults",
    "spec",
    default="",
    envvar="UPBIT_REPLICA_FAULTS",
    help=f"Faults to inject, by share of the requests: all=0.01 or storm=0.01,bad=0.05 ... of {', '.join(KINDS)}.",
)
@click.option(
    "--faults-minutes",
    type=click.FloatRange(0),
    envvar="UPBIT_REPLICA_FAULTS_MINUTES",
    help="Minutes after the start at which the faults end; default: never.",
)
@click.option(
    "--outage-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="UPBIT_REPLICA_OUTAGE_FILE",
    help="While this file exists, the endpoints it names hang, fail or have changed: candles=hang, ticker=503, "
    "candles:0.07=hang (a share of the markets), candles:KRW-BTC=500 or candles=text (the newest price).",
)
def main(
    host: str,
    port: int,
    seed: int,
    markets: int,
    quotes: str,
    latency: float,
    replay: Path | None,
    spec: str,
    faults_minutes: float | None,
    outage_file: Path | None,
) -> None:
    """A local exchange that answers like Upbit's quotation API, from synthetic or recorded candles."""
    try:
        source = _source(seed, markets, quotes, replay)
        app = create_replica(source, latency=latency)
        until = None if faults_minutes is None else utc_now() + timedelta(minutes=faults_minutes)
        switched = {"outages": from_file(outage_file)} if outage_file else {}
        faults = inject(app, utc_now, seed, _rates(spec), until=until, **switched)
        server = make(app, host, port)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}; see --port") from error
    listed = sum(market.listed <= utc_now() for market in source.markets())
    click.echo(f"replica of Upbit on http://{host}:{server.port} with {listed} markets")
    serve(server)
    for kind, number in sorted(faults.injected.items()):
        click.echo(f"injected {kind}: {number}")


def _rates(spec: str) -> dict[str, float]:
    try:
        return parse_rates(spec)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--faults") from error


def _source(seed: int, markets: int, quotes: str, replay: Path | None) -> Source:
    if replay:
        return ReplaySource(replay)
    return SyntheticSource(seed, markets, tuple(quote.strip().upper() for quote in quotes.split(",")))


if __name__ == "__main__":
    main()
