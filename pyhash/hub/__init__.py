"""Models and retrievers on the Hugging Face Hub."""

from pyhash.hub.card import model_card
from pyhash.hub.transfer import from_hub, push_to_hub

__all__ = ["from_hub", "model_card", "push_to_hub"]
