"""The coins of the synthetic exchange: names, price levels, liquidity and listing dates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from math import exp, log

import numpy as np

from upbit_elt.replica import noise

MOST_COINS = 600
FIRST_LISTING = datetime(2017, 9, 25, 3, tzinfo=UTC)  # KRW-BTC's first minute on the real exchange

# code, English name, Korean name, price level in KRW; most traded first
_KNOWN = (
    ("BTC", "Bitcoin", "비트코인", 150_000_000),
    ("XRP", "XRP", "엑스알피", 3_900),
    ("ETH", "Ethereum", "이더리움", 5_200_000),
    ("USDT", "Tether", "테더", 1_450),
    ("DOGE", "Dogecoin", "도지코인", 320),
    ("SOL", "Solana", "솔라나", 280_000),
    ("ADA", "Cardano", "에이다", 1_150),
    ("SUI", "Sui", "수이", 4_900),
    ("TRX", "TRON", "트론", 480),
    ("XLM", "Stellar Lumens", "스텔라루멘", 520),
    ("LINK", "Chainlink", "체인링크", 30_000),
    ("HBAR", "Hedera", "헤데라", 310),
    ("AVAX", "Avalanche", "아발란체", 40_000),
    ("SHIB", "Shiba Inu", "시바이누", 0.0172),
    ("PEPE", "Pepe", "페페", 0.0145),
    ("ONDO", "Ondo Finance", "온도파이낸스", 1_300),
    ("DOT", "Polkadot", "폴카닷", 5_600),
    ("BCH", "Bitcoin Cash", "비트코인캐시", 820_000),
    ("ETC", "Ethereum Classic", "이더리움클래식", 28_000),
    ("NEAR", "NEAR Protocol", "니어프로토콜", 3_600),
    ("APT", "Aptos", "앱토스", 6_200),
    ("SEI", "Sei", "세이", 420),
    ("POL", "Polygon Ecosystem Token", "폴리곤에코시스템토큰", 350),
    ("STX", "Stacks", "스택스", 880),
    ("AAVE", "Aave", "에이브", 400_000),
    ("ALGO", "Algorand", "알고랜드", 320),
    ("VET", "VeChain", "비체인", 33),
    ("SAND", "The Sandbox", "샌드박스", 400),
    ("ATOM", "Cosmos", "코스모스", 6_100),
    ("WLD", "Worldcoin", "월드코인", 1_700),
    ("ARB", "Arbitrum", "아비트럼", 690),
    ("ENS", "Ethereum Name Service", "이더리움네임서비스", 31_000),
    ("BTT", "BitTorrent", "비트토렌트", 0.00085),
    ("XEC", "eCash", "이캐시", 0.028),
    ("IMX", "ImmutableX", "이뮤터블엑스", 900),
    ("MANA", "Decentraland", "디센트럴랜드", 410),
    ("AXS", "Axie Infinity", "엑시인피니티", 3_300),
    ("NEO", "NEO", "네오", 9_100),
    ("QTUM", "Qtum", "퀀텀", 3_300),
    ("THETA", "Theta Network", "쎄타토큰", 1_070),
    ("FLOW", "Flow", "플로우", 540),
    ("GRT", "The Graph", "더그래프", 126),
    ("EGLD", "MultiversX", "멀티버스엑스", 19_500),
    ("ZRO", "LayerZero", "레이어제로", 2_600),
    ("BLUR", "Blur", "블러", 105),
    ("CRO", "Cronos", "크로노스", 310),
    ("ANKR", "Ankr", "앵커", 19),
    ("SC", "Siacoin", "시아코인", 4.1),
    ("MBL", "MovieBloc", "무비블록", 2.9),
    ("JST", "JUST", "저스트", 47),
)
_SYLLABLES = (
    ("KA", "카"), ("RO", "로"), ("MI", "미"), ("NU", "누"), ("TE", "테"), ("LA", "라"), ("VI", "비"), ("SO", "소"),
    ("DE", "데"), ("PI", "피"), ("ZU", "주"), ("HA", "하"), ("GO", "고"), ("BE", "베"), ("JI", "지"), ("FU", "푸"),
    ("WA", "와"), ("YO", "요"), ("CE", "세"), ("MO", "모"), ("LU", "루"), ("NA", "나"), ("TI", "티"), ("RE", "레"),
)  # fmt: skip
_KINDS = (("Network", "네트워크"), ("Protocol", "프로토콜"), ("Token", "토큰"), ("Finance", "파이낸스"))

# Share of the coins listed by a date: KRW markets grew 119, 193, 234, 289 (counts on the real exchange)
_GROWTH = (
    (0.0, FIRST_LISTING),
    (0.41, datetime(2024, 4, 1, tzinfo=UTC)),
    (0.67, datetime(2025, 9, 1, tzinfo=UTC)),
    (0.81, datetime(2026, 1, 15, tzinfo=UTC)),
    (1.0, datetime(2026, 9, 20, tzinfo=UTC)),
)
_UPCOMING = datetime(2026, 12, 10, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin and how it trades against KRW.

    `price` is its level in KRW, `deviation` the deviation of one minute's log return, `trades` the mean number
    of trades a minute, `trade_krw` the mean size of a trade in KRW, `common` the correlation with the market.
    """

    code: str
    english_name: str
    korean_name: str
    price: float
    deviation: float
    trades: float
    trade_krw: float
    common: float
    listed: datetime


def coins(count: int) -> list[Coin]:
    """`count` coins that are listed by 2026-09-20, and a few more (1 in 64) listed later; most traded first."""
    names = _names()
    return [_coin(rank, count, *next(names)) for rank in range(count + count // 64)]


def _names() -> Iterator[tuple[str, str, str, float]]:
    yield from _KNOWN
    pairs = list(product(_SYLLABLES, repeat=2))
    for number in np.argsort(noise.bits(noise.key("roster"), np.arange(len(pairs)))):
        (first, first_korean), (second, second_korean) = pairs[number]
        kind, kind_korean = _KINDS[number % len(_KINDS)]
        code = first + second
        price = exp(log(400) + 2.2 * _draw(code, "price"))
        yield code, f"{code.capitalize()} {kind}", first_korean + second_korean + kind_korean, price


def _coin(rank: int, count: int, code: str, english: str, korean: str, price: float) -> Coin:
    place = min(rank / count, 1.0)
    stable = code == "USDT"
    return Coin(
        code=code,
        english_name=english,
        korean_name=korean,
        price=price,
        deviation=1.5e-4 if stable else 7e-4 + 1.3e-3 * place**0.5,
        trades=40 * exp(-9 * place**1.3),
        trade_krw=1.8e6 * exp(-2.5 * place),
        common=0.1 if stable else 0.85 - 0.4 * place,
        listed=_listed(rank, count, code),
    )


def _listed(rank: int, count: int, code: str) -> datetime:
    """First minute of a coin, on a full hour; real coins are listed earlier than made-up ones."""
    if rank == 0:
        return FIRST_LISTING
    if rank >= count:
        return _UPCOMING + timedelta(days=45 * (rank - count), hours=rank % 8)
    share = noise.uniform(noise.bits(noise.key("listed", code), np.zeros(1, np.int64)))[0]
    share *= 0.4 if rank < len(_KNOWN) else 1.0
    moment = float(np.interp(share, [part for part, _ in _GROWTH], [date.timestamp() for _, date in _GROWTH]))
    return datetime.fromtimestamp(moment // 3600 * 3600, UTC)


def _draw(code: str, name: str) -> float:
    return float(noise.normal(noise.bits(noise.key(name, code), np.zeros(1, np.int64)))[0])
