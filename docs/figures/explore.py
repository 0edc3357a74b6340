"""Take explore.png, the picture of `pyhash explore` in the README: python docs/figures/explore.py [FOLDER [FILE]].

It shows a query of words, by default in emoji that are learned for it: each has its features of a picture, a text, and
the emoji as payload. FOLDER is another folder of a Retriever. Needs playwright and Chromium.
"""

import io
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import pyhash
from pyhash.explore.collection import Collection
from pyhash.explore.routes import Routes
from pyhash.explore.server import ExploreServer

WORDS = "curry rice"
N_BITS, CLASS_BITS = 64, 24
SIZE = {"width": 1120, "height": 900}


def emoji():
    """Return a Retriever of the emoji of the README's first example."""
    data = pyhash.datasets.load_emoji()
    rows = data.split("pair")[0]
    encoders = {"text": pyhash.encoders.BagOfWords(n_features=4096), "image": None}
    retriever = pyhash.Retriever(encoders, n_bits=N_BITS, parameters={"class_bits": CLASS_BITS})
    names = {level: np.array(data.label_names[level]) for level in ("level1", "level2")}
    payload = {
        "emoji": ["".join(chr(int(c, 16)) for c in codes.split("-")) for codes in data.items["codepoints"][rows]],
        "name": data.items["name"][rows].tolist(),
        "text": data.items["text"][rows].tolist(),
        "group": names["level1"][data.labels["level1"][rows]].tolist(),
        "subgroup": names["level2"][data.labels["level2"][rows]].tolist(),
        "vendor": data.items["vendor"][rows].tolist(),
    }
    items = {"text": payload["text"], "image": data.views["image_deep"][rows]}
    return retriever.learn(items, data.labels["level2"][rows], add=True, ids=rows, payload=payload)


def take(retriever, name, path):
    """Write a picture of the page with a query to a file."""
    collection = Collection(retriever, name)
    collection.warm_up()
    with ExploreServer(Routes(collection)) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        program = shutil.which("chromium") or shutil.which("google-chrome")
        with playwright.chromium.launch(executable_path=program, args=["--no-sandbox"]) as browser:
            page = browser.new_page(viewport=SIZE, color_scheme="light")
            page.goto(server.url)
            page.get_by_label("Words").fill(WORDS)
            page.get_by_role("button", name="Search").click()
            page.get_by_role("heading", name=f"Nearest to “{WORDS}”").wait_for()
            page.wait_for_load_state("networkidle")
            picture = Image.open(io.BytesIO(page.screenshot()))
        server.shutdown()
    # 256 colours are enough for a page, and take a third of the bytes.
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else None
    file = Path(sys.argv[2]) if sys.argv[2:] else Path(__file__).with_suffix(".png")
    with pyhash.Retriever.open(folder, read_only=True) if folder else emoji() as opened:
        take(opened, folder.resolve().name if folder else "emoji", file)
