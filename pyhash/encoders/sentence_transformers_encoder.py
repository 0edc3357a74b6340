"""Models of sentence-transformers."""

from __future__ import annotations

from typing import Any

from pyhash._extras import require
from pyhash.encoders.hub_name import HubName
from pyhash.encoders.items import check_kind
from pyhash.encoders.network_encoder import NetworkEncoder, config_values, name_to_load
from pyhash.encoders.processor_values import tokenizer_values


class SentenceTransformersEncoder(NetworkEncoder):
    """A model of sentence-transformers.

    Texts of a batch are padded to the longest of them, which the attention leaves out: batches change features by no
    more than rounding.

    Parameters
    ----------
    model : str or SentenceTransformer
        A name of the hub or a folder; ``NAME@REVISION`` is one revision of it. Or a model that is there already, which
        stays on its device.
    kind : {"text", "image"}, default="text"
        What the items are; few models take pictures.
    name : str, optional
        The user's own name of a model that is given as one; others are "sentence-transformers:MODEL".
    device : str or torch.device, default="auto"
        Where a model that is loaded runs; "auto": cuda if there is one, else mps, else cpu.

    Examples
    --------
    >>> from pyhash.encoders import SentenceTransformersEncoder
    >>> encoder = SentenceTransformersEncoder("sentence-transformers/all-MiniLM-L6-v2")  # doctest: +SKIP
    >>> encoder.encode(["canned food"]).shape  # doctest: +SKIP
    (1, 384)
    """

    def __init__(
        self, model: Any, *, kind: str | None = None, name: str | None = None, device: object = "auto"
    ) -> None:
        self.kind = check_kind("text" if kind is None else kind)
        library = require("sentence_transformers", "encoders of sentence-transformers", "text")
        loaded = name_to_load(model, name)
        if loaded is not None:
            hub = HubName.of(loaded)
            model = library.SentenceTransformer(
                hub.model, revision=hub.revision, device="cpu", trust_remote_code=False
            ).float()
        elif not isinstance(model, library.SentenceTransformer):
            raise TypeError(f"model must be a str or a SentenceTransformer, got {type(model).__name__}")
        self.name = f"sentence-transformers:{loaded}" if name is None else name
        self._set_network(model, device, "sentence-transformers", _described(model), is_loaded=loaded is not None)

    def _run(self, items: list[Any]) -> Any:
        return self.network.encode(  # type: ignore[operator]
            items, batch_size=len(items), show_progress_bar=False, convert_to_numpy=False, convert_to_tensor=True
        )


def _described(model: Any) -> list[object]:
    """Return what beside the weights makes the features: parameters of the modules, and how texts become tokens."""
    parts: list[object] = [model.prompts, model.default_prompt_name, model.truncate_dim, model.max_seq_length]
    for module in model:
        parts.append(type(module).__name__)
        if hasattr(module, "get_config_dict"):
            parts.append(module.get_config_dict())
        if hasattr(module, "auto_model"):
            parts.append(config_values(module.auto_model.config))
        tokenizer: Any = getattr(module, "tokenizer", None)
        parts.append(tokenizer_values(tokenizer) if hasattr(tokenizer, "get_vocab") else None)
    return parts
