// The lazy IR: what recording produces and the compiler reads.
//
// Note [The graph is a program over buffers]
// A graph is a list of nodes in program order. A node reads *windows* (strided views of buffers) and writes windows.
// A buffer is the memory of one storage. Executing the nodes one after another through memory is the meaning of the
// graph; whatever the compiler does (fuse, reorder, drop) must be indistinguishable from it in the buffers that are
// observable at the end. There is no view node: a view is a window. There is no in-place node: an in-place op is a
// node whose destination is a window of an existing buffer.
//
// Note [What is an argument and what is structure]
// Run-time arguments, which differ between runs of one recipe: the addresses of buffers, the offsets of windows over
// *input* buffers, and the values of scalars. Everything else (ops, sizes, strides, dtypes, constant attributes,
// offsets into local buffers, which buffers are observable) is structure and therefore in the key.
// Compilers may look at `Window::offset` of an input buffer only to decide how two windows of one buffer relate
// (equal, disjoint, overlapping): for every buffer that a node writes, that relation is in the key.
#pragma once

#include <ATen/core/ivalue.h>
#include <c10/core/ScalarType.h>
#include <c10/util/SmallVector.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace torch_hpu::ir {

struct OpInfo;

using DimVector = c10::SmallVector<int64_t, 5>;
using BufferId = uint32_t;
using WindowId = uint32_t;
using ScalarId = uint32_t;
inline constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

enum class BufferKind : uint8_t {
  kInput,  // its bytes exist before the graph runs
  kLocal,  // the graph creates it: undefined bytes until a node writes them
};

struct Buffer {
  int64_t nbytes = 0;
  BufferKind kind = BufferKind::kLocal;
  bool observable = true;  // somebody may read it after the graph has run
  bool written = false;    // some node writes it; an input that is written is updated in place
};

// A strided view of a buffer. `offset` counts elements of `dtype`, as sizes and strides do.
struct Window {
  BufferId buffer = kNone;
  c10::ScalarType dtype = c10::ScalarType::Float;
  bool conj = false;  // the reader must conjugate (complex)
  bool neg = false;   // the reader must negate
  int64_t offset = 0;
  DimVector sizes;
  DimVector strides;

  int64_t numel() const {
    int64_t n = 1;
    for (int64_t s : sizes) {
      n *= s;
    }
    return n;
  }
};

// The value of a scalar as a run passes it: bool and integers in `i`, floating point in `d`, complex in (d, imag).
struct ScalarValue {
  union {
    int64_t i;
    double d;
  };
  double imag = 0;
  ScalarValue() : i(0) {}
};

enum class ScalarCategory : uint8_t { kBool, kInt, kFloat, kComplex };

// A scalar of the recorded graph: its category is structure, its value a run-time argument.
struct Scalar {
  ScalarCategory category = ScalarCategory::kInt;
  ScalarValue value;
};

// One argument of a node; arguments stand in the order of the op's schema.
struct Arg {
  enum class Kind : uint8_t {
    kNone,          // an optional argument left out
    kWindow,        // a tensor: `index` is its WindowId
    kWindowList,    // tensors: Graph::list_items[index, index + count), kNone for an undefined one
    kScalar,        // a number: `index` is its ScalarId (schema types Scalar and float)
    kScalarTensor,  // a 0-dim CPU tensor, snapshotted: ScalarId, with its dtype and whether it is a wrapped number
    kConst,         // structure: `value` (bool, int, int list, dtype, string, float list, structural scalars ...)
  };
  Kind kind = Kind::kNone;
  bool wrapped = false;
  c10::ScalarType dtype = c10::ScalarType::Undefined;  // of a kScalarTensor
  uint32_t index = 0;
  uint32_t count = 0;
  c10::IValue value;

  bool is_none() const {
    return kind == Kind::kNone;
  }
};

// One operation.
//
// functional: "compute the op's returns from the arguments, then store return i into window writes[i]" (kNone: that
//   return is not wanted or undefined). All reads happen before all writes. The destination has the return's sizes; its
//   dtype may differ (the store casts as copy_ does) and so may its strides. In-place and out= overloads of ops that have
//   a functional overload are recorded in this form, with `op` the functional overload.
// mutating: the op's schema writes some of its tensor arguments itself. writes = the windows of the mutated arguments
//   in schema order, followed by one window for each return that is a fresh tensor.
struct Node {
  const OpInfo* op = nullptr;
  c10::SmallVector<Arg, 6> args;
  c10::SmallVector<WindowId, 2> writes;
  bool mutating = false;
  bool recomputed = false;  // recorded in a backward pass with gradients enabled: activation checkpointing computes it again on purpose
  ScalarId rng = kNone;     // random ops: scalars [rng] = seed and [rng + 1] = offset (int64 both), see Note [Random numbers]
};

struct Graph {
  std::vector<Buffer> buffers;
  std::vector<Window> windows;
  std::vector<WindowId> list_items;
  std::vector<Scalar> scalars;
  std::vector<Node> nodes;
};

}  // namespace torch_hpu::ir
