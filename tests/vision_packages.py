"""Encoders of timm, torchvision and open_clip with the packages themselves: ``vision_packages.py PACKAGES SCRATCH``.

In a process of its own, with a folder of packages of its own: beside a torch without CUDA, the torchvision of the
package index does not find the libraries of its compiled operators. Networks that classify use none of these; here,
stand-ins without a kernel let it import. Within the environment of the other tests it would break transformers.
"""

import importlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

WEIGHTS = "resnet18-f37072fd.pth"
PICTURES = [np.random.default_rng(i).integers(0, 256, (40 + i, 50, 3)).astype(np.uint8) for i in range(4)]
TEXTS = ["canned food", "a cat", "", "food for cats " * 20]
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def import_torchvision():
    """Import torchvision; return what keeps the stand-ins of its operators alive, None where it needs none."""
    try:
        importlib.import_module("torchvision")
        return None
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    importlib.import_module("torchvision")
    return library


def check(encoder, items, n_features):
    """Whole features, the same in batches of any size, within rounding; the state of the network stays."""
    modes = [module.training for module in encoder.network.modules()]
    features = encoder.encode(items)
    assert features.shape == (len(items), n_features), features.shape
    assert np.array_equal(features, encoder.encode(items))
    assert np.allclose(features, encoder.encode(items, batch_size=1), rtol=1e-4, atol=1e-5)
    assert np.ptp(features, axis=0).max() > 1e-6
    assert [module.training for module in encoder.network.modules()] == modes
    return features


def check_timm(scratch):
    import timm

    from pyhash.encoders import TimmEncoder, make_encoder

    versions = set()
    for name, n_features in (("test_resnet", 96), ("test_vit", 64)):
        model = timm.create_model(name).train()
        given = TimmEncoder(model, name="mine")
        features = check(given, PICTURES, n_features)
        timm.models.save_for_hf(model, scratch / name)
        loaded = make_encoder(f"timm:local-dir:{scratch / name}", kind="image", device="cpu")
        assert loaded.version == given.version
        assert np.allclose(loaded.encode(PICTURES), features, rtol=1e-4, atol=1e-5)
        # Without its classifier the model itself gives the same.
        bare = timm.create_model(name, num_classes=0)
        bare.load_state_dict(model.state_dict(), strict=False)
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(bare))
        with torch.no_grad():
            wanted = bare.eval()(torch.stack([transform(image) for image in map(rgb, PICTURES)]))
        assert np.allclose(features, wanted, rtol=1e-4, atol=1e-5)
        versions.add(given.version)
    assert len(versions) == 2


def check_torchvision(scratch):
    from torchvision import models

    from pyhash.encoders import TorchvisionEncoder, make_encoder

    torch.manual_seed(0)
    model = models.resnet18()
    transform = models.ResNet18_Weights.DEFAULT.transforms()
    given = TorchvisionEncoder(model.train(), processor=transform, name="mine")
    features = check(given, PICTURES, 512)
    # The last layer makes the scores of the model from them.
    with torch.no_grad():
        scores = model.eval()(torch.stack([transform(image) for image in map(rgb, PICTURES)]))
        assert np.allclose(model.fc(torch.from_numpy(features)), scores, atol=1e-5)
    assert not model.fc._forward_pre_hooks
    # Weights as torchvision keeps them after a download.
    os.environ["TORCH_HOME"] = str(scratch)
    (scratch / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(model.state_dict(), scratch / "hub" / "checkpoints" / WEIGHTS)
    for name in ("resnet18", "resnet18/IMAGENET1K_V1"):
        loaded = make_encoder(f"torchvision:{name}", device="cpu")
        assert loaded.version == given.version
        assert np.allclose(loaded.encode(PICTURES), features, rtol=1e-4, atol=1e-5)
    with ThreadPoolExecutor(4) as threads:  # all run one network
        rows = list(threads.map(lambda picture: loaded.encode([picture])[0], PICTURES * 3))
    assert np.allclose(rows, np.tile(features, (3, 1)), rtol=1e-4, atol=1e-5)
    for name in ("resnet9", "resnet18/NONE"):
        raises(ValueError, "model must be MODEL or MODEL/WEIGHTS", make_encoder, f"torchvision:{name}")
    last = models.squeezenet1_1()
    raises(ValueError, "model must be a classifier with", TorchvisionEncoder, last, name="mine", processor=transform)


def check_open_clip(scratch):
    import open_clip

    from pyhash.encoders import OpenCLIPEncoder, make_encoder

    torch.manual_seed(0)
    model = open_clip.CLIP(**CLIP)
    tokenizer = open_clip.get_tokenizer("ViT-B-32", context_length=16)
    transform = open_clip.image_transform(32, is_train=False)
    texts = OpenCLIPEncoder(model, kind="text", processor=tokenizer, name="mine")
    pictures = OpenCLIPEncoder(model, kind="image", processor=transform, name="mine")
    features = check(texts, TEXTS, 16), check(pictures, PICTURES, 16)
    assert texts.version != pictures.version
    folder = scratch / "clip"
    folder.mkdir()
    preprocess = {"size": 32, "mean": list(open_clip.OPENAI_DATASET_MEAN), "std": list(open_clip.OPENAI_DATASET_STD)}
    content = {"model_cfg": CLIP, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    for kind, wanted, items in (("text", features[0], TEXTS), ("image", features[1], PICTURES)):
        loaded = make_encoder(f"open-clip:local-dir:{folder}", kind=kind, device="cpu")
        assert np.allclose(loaded.encode(items), wanted, rtol=1e-4, atol=1e-5)
    raises(ValueError, "model must be ARCHITECTURE/PRETRAINED", make_encoder, "open-clip:ViT-B-32", kind="text")
    raises(ValueError, "kind must be one of 'text', 'image', got None", make_encoder, "open-clip:ViT-B-32/openai")


def rgb(picture):
    from pyhash.encoders import open_picture

    return open_picture(picture)


def raises(error, message, call, /, *arguments, **named):
    with pytest.raises(error, match=message):
        call(*arguments, **named)


if __name__ == "__main__":
    sys.path.append(sys.argv[1])
    kept = import_torchvision()
    for check_package in (check_timm, check_torchvision, check_open_clip):
        check_package(Path(sys.argv[2]))
        print(check_package.__name__)
