"""Models in the lake: weights and card of each version, and the pointer to the champion, the model in use."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import torch

from upbit_elt.errors import LakeCorrupt, NoModel, UnusableModel
from upbit_elt.forecast.features import NAMES
from upbit_elt.forecast.model import QuantileNet
from upbit_elt.forecast.schema import HORIZONS
from upbit_elt.forecast.train import FORMAT, TrainedModel
from upbit_elt.lake.layout import champion_path, model_folder
from upbit_elt.lake.webhdfs import Lake

# Errors that torch raises for bytes that are no weights, or are another network's.
_NO_WEIGHTS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, pickle.UnpicklingError, EOFError)


@dataclass(frozen=True)
class Champion:
    """The model in use: its version, its card, and the network."""

    version: str
    card: dict[str, Any]
    model: QuantileNet


class Promotion(NamedTuple):
    """Whether a model becomes the champion, the reason, whether it is provisional, and the numbers of the comparison.

    A provisional model (the first one, or one trained on few days) is replaced even by one that cannot be compared.
    """

    promoted: bool
    reason: str
    provisional: bool
    comparison: dict[str, Any] | None = None


FIRST = Promotion(True, "the first model: there was none to compare it with, so it is provisional", provisional=True)


def save_model(lake: Lake, trained: TrainedModel, verdict: Promotion = FIRST) -> str:
    """Write weights and card; if the verdict promotes the model, point the champion's pointer at it.

    Gives the model's version.

    Raises:
        LakeConflict: another model was stored under the same version, the minute of its creation.
    """
    version = str(trained.card["version"])
    folder = model_folder(lake.root, version)
    card = trained.card | verdict._asdict()
    weights = io.BytesIO()
    torch.save(trained.net.state_dict(), weights)
    lake.publish(f"{folder}/weights.pt", weights.getvalue())
    lake.publish(f"{folder}/card.json", _json(card))
    if verdict.promoted:
        lake.replace(champion_path(lake.root), _json({"version": version, "since": card["created"]}))
    return version


def champion_version(lake: Lake) -> str | None:
    """Version that the pointer names; None before the first model. Reading it is a cheap way to notice a change.

    Raises:
        UnusableModel: the pointer cannot be read.
    """
    path = champion_path(lake.root)
    with _usable("its pointer"):
        try:
            version = _parse(lake.read(path), path).get("version")
        except LakeCorrupt:
            if lake.size(path) is None:
                return None
            raise
        if not isinstance(version, str):
            raise LakeCorrupt(f"{path}: it names no version")
        return version


def load_champion(lake: Lake) -> Champion:
    """The model in use.

    Raises:
        UnusableModel: it was made by another release of this program, or a file of it is damaged or gone.
        NoModel: none has been trained yet.
        LakeUnavailable: HDFS does not answer.
    """
    version = champion_version(lake)
    if version is None:
        raise NoModel(f"no model under {model_folder(lake.root, '')} yet; run the DAG train_forecast")
    folder = model_folder(lake.root, version)
    with _usable(version):
        card = _card(lake, f"{folder}/card.json")
        return Champion(version, card, _network(lake.read(f"{folder}/weights.pt"), f"{folder}/weights.pt"))


@contextmanager
def _usable(what: str) -> Iterator[None]:
    """Turn LakeCorrupt of a file of the champion into UnusableModel."""
    try:
        yield
    except LakeCorrupt as error:
        raise UnusableModel(f"the champion ({what}) cannot be read: {error}") from error


def _card(lake: Lake, path: str) -> dict[str, Any]:
    card = _parse(lake.read(path), path)
    if card.get("format") != FORMAT:
        raise LakeCorrupt(f"{path}: it has format {card.get('format')}, and this release reads format {FORMAT}")
    try:
        datetime.fromisoformat(card["data"]["end"]), bool(card["provisional"])
        horizons = tuple(row["horizon"] for row in card["horizons"])
    except (KeyError, TypeError, ValueError) as error:
        raise LakeCorrupt(f"{path}: not the card of a model: {type(error).__name__}: {error}") from error
    if horizons != HORIZONS:  # as many others would fit the same network
        raise LakeCorrupt(f"{path}: it forecasts {horizons} minutes ahead, and this release {HORIZONS}")
    return card


def _network(data: bytes, path: str) -> QuantileNet:
    net = QuantileNet(len(NAMES))
    try:
        net.load_state_dict(torch.load(io.BytesIO(data), weights_only=True))
    except _NO_WEIGHTS as error:
        first_line = str(error).partition("\n")[0]
        raise LakeCorrupt(f"{path}: not the weights of this network: {first_line}") from error
    if not all(bool(torch.isfinite(value).all()) for value in net.state_dict().values()):
        raise LakeCorrupt(f"{path}: a weight is no finite number")
    return net.eval()


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _parse(data: bytes, path: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise LakeCorrupt(f"{path}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise LakeCorrupt(f"{path}: not a JSON object")
    return document
