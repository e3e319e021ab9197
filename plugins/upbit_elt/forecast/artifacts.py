"""Models in the lake: weights and card of each version, and the pointer to the champion."""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from upbit_elt.errors import LakeCorrupt, NoModel
from upbit_elt.forecast.features import NAMES
from upbit_elt.forecast.model import QuantileNet
from upbit_elt.forecast.train import FORMAT, TrainedModel
from upbit_elt.lake.layout import champion_path, model_folder
from upbit_elt.lake.webhdfs import Lake


@dataclass(frozen=True)
class Champion:
    """The model in use: its version, its card, and the network."""

    version: str
    card: dict[str, Any]
    model: QuantileNet


class Verdict(NamedTuple):
    """Whether a model becomes the champion, why, and whether it is only to be trusted until a better one comes."""

    promoted: bool
    reason: str
    provisional: bool


FIRST = Verdict(True, "the first model: there was none to compare it with, so it is provisional", provisional=True)


def save_model(lake: Lake, trained: TrainedModel, verdict: Verdict = FIRST) -> str:
    """Write weights and card, then, if the verdict says so, point the champion at them. Returns the version.

    Raises:
        LakeConflict: another model was made in the same minute.
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
    """Version that the pointer names, None before the first model: a cheap way to see a change."""
    path = champion_path(lake.root)
    try:
        data = lake.read(path)
    except LakeCorrupt:  # there is no such file
        return None
    return str(_parse(data, path)["version"])


def load_champion(lake: Lake) -> Champion:
    """The model in use.

    Raises:
        NoModel: none has been trained yet, or it was made by another version of this program.
        LakeCorrupt: its files are not what their names say.
    """
    version = champion_version(lake)
    if version is None:
        raise NoModel(f"no model under {model_folder(lake.root, '')} yet; run the DAG train_forecast")
    folder = model_folder(lake.root, version)
    card = _parse(lake.read(f"{folder}/card.json"), f"{folder}/card.json")
    if card.get("format") != FORMAT:
        raise NoModel(f"model {version} has format {card.get('format')}, not {FORMAT}; run the DAG train_forecast")
    return Champion(version, card, _network(lake.read(f"{folder}/weights.pt"), f"{folder}/weights.pt"))


def _network(data: bytes, path: str) -> QuantileNet:
    net = QuantileNet(len(NAMES))
    try:
        net.load_state_dict(torch.load(io.BytesIO(data), weights_only=True))
    except (RuntimeError, ValueError, pickle.UnpicklingError, EOFError) as error:
        raise LakeCorrupt(f"{path}: not the weights of this network: {error}") from error
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
