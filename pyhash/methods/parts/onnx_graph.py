"""ONNX graphs, made node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import n_bytes_of

# An operand: the name of a value, or a constant, whose dtype counts.
Operand: TypeAlias = str | NDArray[Any] | np.generic

_OPSET = 17
# The version of the file format that goes with these operators: older runtimes read no newer one.
_IR_VERSION = 8
# A file of protocol buffers holds no more; the nodes need little beside the constants.
_MOST_BYTES = 2**31 - 2**20


class Graph:
    """An ONNX graph: nodes are added in the order in which they run, and values have names.

    Types of operands must agree: nothing is converted but by ``cast``.
    """

    def __init__(self, parent: Graph | None = None) -> None:
        self._nodes: list[Any] = []
        self._parent = parent
        self._numbers: Any = count() if parent is None else parent._numbers
        # By identity too, such that an array that is used twice is held once.
        self._constants: dict[str, NDArray[Any]] = {} if parent is None else parent._constants

    def add(self, operator: str, *operands: Operand, n_outputs: int = 1, **attributes: Any) -> Any:
        """Add a node and return the name of its output, or the names of several."""
        from onnx import helper

        inputs = [operand if isinstance(operand, str) else self._constant(operand) for operand in operands]
        outputs = [self._name() for _ in range(n_outputs)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def cast(self, value: Operand, dtype: Any) -> str:
        """Return a value as another dtype of numpy."""
        return str(self.add("Cast", value, to=_element_type(dtype)))

    def rows_max(self, value: Operand) -> str:
        """Return the greatest value of each row, (n, 1)."""
        return str(self.add("ReduceMax", value, axes=[1], keepdims=1))

    def rows_sum(self, value: Operand) -> str:
        """Return the sum of each row, (n, 1)."""
        return str(self.add("ReduceSum", value, np.array([1]), keepdims=1))

    def softmax(self, logits: Operand) -> str:
        """Return probabilities by row, as ``posterior.softmax``."""
        exponentials = self.add("Exp", self.add("Sub", logits, self.rows_max(logits)))
        return str(self.add("Div", exponentials, self.rows_sum(exponentials)))

    def loop(
        self,
        n_steps: Operand,
        carried: Sequence[Operand],
        dtype: Any,
        body: Callable[[Graph, str, list[str]], list[str]],
    ) -> list[str]:
        """Return values after a loop of so many steps; all have one dtype.

        ``body(graph, step, carried)`` adds a step to the graph of the loop and returns the next values.
        """
        from onnx import TensorProto, helper

        inner = Graph(self)
        step, going = self._name(), self._name()
        names = [self._name() for _ in carried]
        after = [inner.add("Identity", value) for value in body(inner, step, names)]
        still = inner.add("Identity", going)
        kind = _element_type(dtype)
        graph = helper.make_graph(
            inner._nodes,
            self._name(),
            [
                helper.make_tensor_value_info(step, TensorProto.INT64, []),
                helper.make_tensor_value_info(going, TensorProto.BOOL, []),
                *(helper.make_tensor_value_info(name, kind, None) for name in names),
            ],
            [
                helper.make_tensor_value_info(still, TensorProto.BOOL, []),
                *(helper.make_tensor_value_info(name, kind, None) for name in after),
            ],
        )
        found = self.add("Loop", n_steps, np.array(True), *carried, n_outputs=len(names), body=graph)
        return [found] if isinstance(found, str) else found

    def model(self, name: str, inputs: dict[str, tuple[Any, list[Any]]], outputs: dict[str, Any]) -> Any:
        """Return the model; `inputs` and `outputs` are (dtype, shape) by name, and the names of values by theirs.

        Raises ValueError if the constants are too large for a file.
        """
        from onnx import helper, numpy_helper

        n_bytes = sum(array.nbytes for array in self._constants.values())
        if n_bytes > _MOST_BYTES:
            raise ValueError(f"an ONNX file must hold less than 2 GiB, this encoder has {n_bytes / 2**30:.1f} GiB")
        named = []
        for output, (value, dtype, shape) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [output]))
            named.append(helper.make_tensor_value_info(output, _element_type(dtype), shape))
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(key, _element_type(dtype), shape) for key, (dtype, shape) in inputs.items()],
            named,
            [numpy_helper.from_array(array, key) for key, array in self._constants.items()],
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="pyhash",
        )

    def _constant(self, value: NDArray[Any] | np.generic) -> str:
        array = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
        name = self._name()
        self._constants[name] = array
        return name

    def _name(self) -> str:
        return f"v{next(self._numbers)}"


def pack_in(graph: Graph, projections: Operand, n_bits: int) -> str:
    """Return the packed codes (n, ceil(n_bits / 8)) uint8 of projections (n, n_bits) float32, as ``codes.pack``."""
    bits, powers = np.arange(n_bits), np.zeros((n_bits, n_bytes_of(n_bits)), dtype=np.float32)
    # Bits times this are bytes: in float32 exact, and a product that every runtime has.
    powers[bits, bits // 8] = 2.0 ** (bits % 8)
    ones = graph.cast(graph.add("Greater", projections, np.float32(0)), np.float32)
    return graph.cast(graph.add("MatMul", ones, powers), np.uint8)


def _element_type(dtype: Any) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
