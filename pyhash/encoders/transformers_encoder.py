"""Models of transformers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pyhash._extras import require
from pyhash.encoders.hub_name import HubName
from pyhash.encoders.items import Kind, check_kind
from pyhash.encoders.network_encoder import NetworkEncoder, config_values, name_to_load
from pyhash.encoders.processor_values import tokenizer_values


class TransformersEncoder(NetworkEncoder):
    """A model of transformers for texts or pictures.

    The features of a text are the mean of the last hidden states over its tokens, h = sum_t m_t h_t / sum_t m_t with
    the attention mask m; those of a picture, the mean over all tokens or positions. A model of both kinds, such as
    CLIP, gives the features of its common space (``get_text_features``, ``get_image_features``).

    Texts of a batch are padded to the longest of them, which the attention leaves out: batches change features by no
    more than rounding. Longer texts than the model takes are cut.

    Parameters
    ----------
    model : str or PreTrainedModel
        A name of the hub or a folder; ``NAME@REVISION`` is one revision of it. Or a model that is there already, which
        stays on its device.
    kind : {"text", "image"}, optional
        What the items are; needed for models that take both.
    name : str, optional
        The user's own name of a model that is given as one; others are "transformers:MODEL".
    processor : tokenizer or image processor, optional
        That of a model that is given as one.
    device : str or torch.device, default="auto"
        Where a model that is loaded runs; "auto": cuda if there is one, else mps, else cpu.

    Examples
    --------
    >>> from pyhash.encoders import TransformersEncoder
    >>> encoder = TransformersEncoder("facebook/dinov2-small")  # doctest: +SKIP
    >>> encoder.encode(["photo.jpg"]).shape  # doctest: +SKIP
    (1, 384)
    """

    def __init__(
        self,
        model: Any,
        *,
        kind: str | None = None,
        name: str | None = None,
        processor: Any = None,
        device: object = "auto",
    ) -> None:
        if kind is not None:
            check_kind(kind)
        library = require("transformers", "encoders of transformers", "image" if kind == "image" else "text")
        loaded = name_to_load(model, name)
        if (processor is None) != (loaded is not None):
            raise TypeError("processor must be given with a model that is given, and left out with the name of one")
        if loaded is not None:
            hub = HubName.of(loaded)
            # Left out, transformers would ask in the terminal whether to run code of the repository.
            options = {"revision": hub.revision, "trust_remote_code": False}
            config = library.AutoConfig.from_pretrained(hub.model, **options)
            self.kind = _kind_of(config.model_type, kind)
            processors = library.AutoTokenizer if self.kind == "text" else library.AutoImageProcessor
            processor = processors.from_pretrained(hub.model, **options)
            model = library.AutoModel.from_pretrained(hub.model, **options).float()
        elif not isinstance(model, library.PreTrainedModel):
            raise TypeError(f"model must be a str or a PreTrainedModel, got {type(model).__name__}")
        else:
            self.kind = _kind_of(model.config.model_type, kind)
        self.name = f"transformers:{loaded}" if name is None else name
        self._processor = processor
        self._max_tokens = _max_tokens(processor, model.config) if self.kind == "text" else None
        described = [self.kind, config_values(model.config), _processor_values(processor, self.kind), self._max_tokens]
        self._set_network(model, device, "transformers", described, is_loaded=loaded is not None)

    def _run(self, items: list[Any]) -> Any:
        if self.kind == "text":
            inputs = self._processor(
                items, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
            )
        else:
            inputs = self._processor(images=items, return_tensors="pt")
        inputs = inputs.to(self.device)
        joint = getattr(self.network, f"get_{self.kind}_features", None)
        if joint is not None:
            features = joint(**inputs)
            # Tensors up to transformers 4; from 5 on, an output that holds them.
            return getattr(features, "pooler_output", features)
        states = self.network(**inputs).last_hidden_state
        if self.kind == "image":
            # (n, tokens, d), or (n, d, height, width)
            return states.mean(dim=1) if states.ndim == 3 else states.mean(dim=(2, 3))
        mask = inputs["attention_mask"].unsqueeze(2).to(states.dtype)
        return (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def _kind_of(model_type: str, kind: str | None) -> Kind:
    """Return what items a type of model takes; `kind` chooses where it takes both, or the type is not known."""
    auto = "transformers.models.auto"
    takes = {
        "text": model_type in import_module(f"{auto}.tokenization_auto").TOKENIZER_MAPPING_NAMES,
        "image": model_type in import_module(f"{auto}.image_processing_auto").IMAGE_PROCESSOR_MAPPING_NAMES,
    }
    known = [each for each, is_taken in takes.items() if is_taken]
    if kind is None and len(known) != 1:
        raise ValueError(f"kind must be 'text' or 'image' for a model of type {model_type!r}, got None")
    if kind is not None and known and kind not in known:
        raise ValueError(f"kind must be {known[0]!r} for a model of type {model_type!r}, got {kind!r}")
    return check_kind(known[0] if kind is None else kind)


def _max_tokens(tokenizer: Any, config: Any) -> int:
    """Return the number of tokens of the longest text; a tokenizer without a limit has a huge one."""
    positions = getattr(getattr(config, "text_config", config), "max_position_embeddings", None)
    return min(int(tokenizer.model_max_length), positions or 1 << 20, 1 << 20)


def _processor_values(processor: Any, kind: Kind) -> object:
    """Return what a tokenizer or image processor does."""
    if kind == "image":
        return [type(processor).__name__, config_values(processor)]
    return [tokenizer_values(processor), processor.padding_side]
