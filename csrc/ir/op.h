// What is known of an op: one OpInfo per operator overload, made once when the device is registered.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/ArrayRef.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "csrc/ir/graph.h"

namespace torch_hpu::ir {

// How an op is executed; every call is counted under its class.
enum class OpClass : uint8_t {
  kLowered,   // compiled to loops by the code generator
  kLibrary,   // a library primitive (matmul, convolution, attention, pooling ...)
  kExtern,    // its ATen CPU kernel runs as a step inside the graph
  kBreaking,  // its outputs depend on data: the graph is flushed, the op runs at once
};

// Shape, dtype and layout of a tensor that an op would return.
struct TensorMeta {
  bool defined = true;
  c10::ScalarType dtype = c10::ScalarType::Float;
  DimVector sizes;
  DimVector strides;
};

struct InferContext;  // see infer.h

// Writes the metas of the op's returns. Throws the user's error (c10 macros, "[op] what is wrong: got X, expected Y").
using InferRule = void (*)(InferContext&);

struct OpInfo {
  OpInfo(c10::OperatorHandle h) : handle(std::move(h)) {}

  c10::OperatorHandle handle;
  std::string name;  // "aten::add.Tensor"
  uint32_t id = 0;
  OpClass op_class = OpClass::kExtern;
  InferRule infer = nullptr;           // null: shapes are learned from the first execution
  uint64_t structural = 0;             // bit i: a number in argument i selects an algorithm or sets a shape, so it belongs to the key
  bool random = false;                 // draws from the device generator: the node carries seed and offset
  const OpInfo* functional = nullptr;  // of in-place and out= overloads: the overload that computes the same value
  std::optional<c10::OperatorHandle> out_variant;  // of functional overloads: the one that writes given tensors
  c10::SmallVector<uint32_t, 2> mutated;           // arguments that the op writes
  std::optional<uint32_t> mutates_if;              // a bool argument: without it nothing is written
  bool is_view = false;                            // some return aliases an argument that is not written
  bool ignores_self = false;  // argument 0 gives shape and dtype only, its bytes are not read (fill, zero, copy, uniform ...)
  uint64_t unit = 0;          // bit i: a 1 in argument i is structure (it multiplies nothing), other numbers are run-time arguments

  // Whether a call with these arguments writes some of them.
  bool writes(c10::ArrayRef<c10::IValue> arguments) const {
    return !mutated.empty() && (!mutates_if || arguments[*mutates_if].toBool());
  }
};

// A row of the op table: what the dispatcher's list cannot tell. `name` is "add.Tensor" (namespace aten).
struct OpRow {
  std::string_view name;
  OpClass op_class;
  InferRule infer;
  uint64_t structural = 0;
  bool random = false;
  uint64_t unit = 0;
};

// Whether a number given as argument `i` belongs to the key.
inline bool is_structure(const OpInfo& op, size_t i, const c10::IValue& value) {
  return i < 64 && ((op.structural >> i & 1) != 0 || ((op.unit >> i & 1) != 0 && value.isInt() && value.toInt() == 1));
}

// The op table (op_table.cpp): every lowered and every library op has a row with an infer rule.
c10::ArrayRef<OpRow> op_table();

// Whether the op's rule is that of elementwise ops, which take tensors of any sizes.
bool elementwise(const OpInfo& op);

// The row of `name` ("add.Tensor"), or null.
const OpRow* find_row(std::string_view name);

}  // namespace torch_hpu::ir
