"""Fit pyhash/encoders/data/emoji_projections.npz: what EmojiText and EmojiImage put behind their networks.

The data set holds principal components of features, and not the projection that made them. It is recovered by ridge
regression from the features of its own texts, and of the pictures of two of its vendors, from the npm packages
emoji-datasource-google and emoji-datasource-twitter:

    python -m tools.emoji_projections --noto package/img/google/64 --twemoji package/img/twitter/64
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from pyhash.datasets import load_emoji
from pyhash.encoders import EfficientNetLite0, UniversalSentenceEncoder

OUT = Path(__file__).parents[1] / "pyhash" / "encoders" / "data" / "emoji_projections.npz"


def picture_of(folder, codepoints):
    for name in (codepoints.lower(), f"{codepoints.lower()}-fe0f"):
        if (folder / f"{name}.png").exists():
            return folder / f"{name}.png"
    return None


def on_white(path):
    picture = Image.open(path).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB").resize((160, 160), Image.Resampling.BICUBIC)


def fit(features, view, ridge):
    mean, mean_of_view = features.mean(axis=0), view.mean(axis=0)
    centered = features - mean
    weights = np.linalg.solve(centered.T @ centered + ridge * np.eye(len(mean)), centered.T @ (view - mean_of_view))
    return weights.astype(np.float16), (mean_of_view - mean @ weights).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for vendor in ("noto", "twemoji"):
        parser.add_argument(f"--{vendor}", type=Path, required=True, help="folder of its pictures of 64 pixels")
    folders = vars(parser.parse_args())
    data = load_emoji()
    texts = UniversalSentenceEncoder().encode([str(text) for text in data.items["text"]])
    pictures = {
        row: picture
        for row, vendor in enumerate(data.items["vendor"])
        if vendor in folders and (picture := picture_of(folders[vendor], str(data.items["codepoints"][row])))
    }
    features = EfficientNetLite0(side=160).encode([on_white(path) for path in pictures.values()]).astype(np.float64)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    arrays = {}
    for modality, rows, of_items, view, ridge in (
        ("image", list(pictures), features, "image_deep", 0.02),
        ("text", slice(None), texts.astype(np.float64), "text_deep", 1e-4),
    ):
        wanted = data.views[view][rows].astype(np.float64)
        weights, bias = fit(of_items, wanted, ridge)
        arrays |= {f"{modality}_weights": weights, f"{modality}_bias": bias}
        given = of_items @ weights.astype(np.float64) + bias
        cosine = (given * wanted).sum(axis=1) / np.linalg.norm(given, axis=1) / np.linalg.norm(wanted, axis=1)
        print(f"{modality}: {len(wanted)} rows, median cosine {np.median(cosine):.4f}")
    np.savez_compressed(OUT, **arrays)


if __name__ == "__main__":
    main()
