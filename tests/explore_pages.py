"""A small collection of coloured pictures and texts, and the page of ``pyhash.explore`` on a thread."""

import io
import threading
from contextlib import contextmanager

import numpy as np
from PIL import Image

from pyhash.encoders import CallableEncoder
from pyhash.explore.collection import Collection
from pyhash.explore.routes import Routes
from pyhash.explore.server import ExploreServer
from pyhash.retriever import Retriever

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 200), "yellow": (230, 210, 40)}
GLYPHS = {"red": "✂", "green": "🥦", "blue": "🫐", "yellow": "🍋"}
N_PAIRS, N_LONELY = 40, 8
EVALUATION = {
    "rows": 48,
    "labels": "colour",
    "directions": {
        "text": {
            "plain": {"map": 0.75, "precision_at_10": 0.5, "curve": {"recall": [0.5, 1.0], "precision": [1.0, 0.5]}},
            "weighted": {"map": 0.875, "curve": {"recall": [0.5, 1.0], "precision": [1.0, 0.75]}},
        },
        "image": {"plain": {"map": 0.625}},
    },
    "rounds": [{"n_seen": 20, "text": 0.5}, {"n_seen": 40, "text": 0.75}],
}


def picture(colour, kind="PNG", size=(12, 10)):
    """The bytes of a picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def mean_colours(pictures):
    return np.array([np.asarray(each, np.float32).mean(axis=(0, 1)) / 255 for each in pictures])


def encoders():
    return {
        "text": "bag-of-words",
        "image": CallableEncoder(mean_colours, kind="image", name="mean-colours", version="1"),
    }


def small_retriever():
    """Pairs of a picture and a text, then texts alone, then pictures alone."""
    rng = np.random.default_rng(5)
    names = [list(COLOURS)[i % 4] for i in range(N_PAIRS + 2 * N_LONELY)]
    # Classes stay apart: noise of up to 20 of 255.
    pictures = [picture(tuple(int(c) for c in np.clip(COLOURS[n] + rng.integers(-20, 20, 3), 0, 255))) for n in names]
    texts = [f"a {name} thing number{i % 5}" for i, name in enumerate(names)]
    retriever = Retriever(encoders(), n_bits=32)
    pairs, words, pixels = np.split(np.arange(len(names)), [N_PAIRS, N_PAIRS + N_LONELY])
    retriever.learn(
        {"text": [texts[i] for i in pairs], "image": [pictures[i] for i in pairs]}, [names[i] for i in pairs]
    )
    for rows, has_text, has_picture in ((pairs, True, True), (words, True, False), (pixels, False, True)):
        items = {}
        payload = {
            "colour": [names[i] for i in rows],
            "emoji": [GLYPHS[names[i]] for i in rows],
            "shelf": [int(i % 2) for i in rows],
            "number": [int(i) for i in rows],
            "tags": [["warm", "small"] if names[i] in ("red", "yellow") else ["cold"] for i in rows],
            "price": [float("nan") if i == 0 else i / 4 for i in rows],
            "drawing": [b"<svg xmlns='http://www.w3.org/2000/svg'/>" for _ in rows],
        }
        if has_text:
            items["text"] = payload["text"] = [texts[i] for i in rows]
        if has_picture:
            items["image"] = payload["image"] = [pictures[i] for i in rows]
        retriever.add(items, ids=10 + rows, payload=payload)
    return retriever


@contextmanager
def running(retriever, **options):
    """Yield a server that answers on a thread."""
    with ExploreServer(Routes(Collection(retriever, "shelf")), **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
