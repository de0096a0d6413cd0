// Helpers over a LoweringContext for lowerings that append library calls.
#pragma once

#include <optional>

#include "csrc/compiler/lower.h"

namespace torch_hpu::compiler {

// The library call that a node becomes: operands over its windows, temporaries where a primitive cannot work on a window itself. Nothing is
// appended to the program before commit().
class CallBuilder {
 public:
  CallBuilder(LoweringContext& context, kernels::Primitive primitive);
  CallBuilder(const CallBuilder&) = delete;
  CallBuilder& operator=(const CallBuilder&) = delete;
  ~CallBuilder();  // without a commit, the temporaries go too

  kernels::LibraryCall call;

  // A window as it lies.
  kernels::Operand operand(ir::WindowId w) const;
  // Argument `i`, or an operand left out.
  kernels::Operand argument(size_t i) const;
  // A destination for return `i`: the window itself, unless its dtype differs, it shares memory with an argument of the node, or `suits` refuses it;
  // then a dense temporary that is copied to the window behind the call. An unwanted return gives an operand left out.
  kernels::Operand destination(size_t i, c10::ScalarType dtype, bool (*suits)(const kernels::Operand&) = nullptr);
  // A dense copy of an operand, of another dtype when one is given, made in front of the call.
  kernels::Operand dense(const kernels::Operand& o, std::optional<c10::ScalarType> dtype = std::nullopt);
  // The operand times a scalar of the graph, made in front of the call.
  kernels::Operand scaled(const kernels::Operand& o, ir::ScalarId scalar);
  // One element that holds a scalar of the graph, made in front of the call.
  kernels::Operand number(ir::ScalarId scalar, c10::ScalarType dtype);
  // Fills `to` (same sizes) with `from` in front of the call.
  void fill(const kernels::Operand& from, const kernels::Operand& to);

  // Whether memory of `buffer` is read by the node.
  bool reads(ir::BufferId buffer) const;

  // Appends copies, call and copies; false, and nothing appended, when no library kernel takes the call.
  bool commit();

 private:
  kernels::Operand temporary(const ir::DimVector& sizes, c10::ScalarType dtype);
  Item copy(const kernels::Operand& from, const kernels::Operand& to, ir::ScalarId factor = ir::kNone) const;

  LoweringContext& context_;
  size_t buffers_;  // of the program when the lowering began
  bool committed_ = false;
  std::vector<Item> before_, after_;
};

// Whether argument `i` is a tensor of the device.
bool is_tensor(const LoweringContext& context, size_t i);

// Whether a library can read and write every window of the node: no conj or neg bits, no complex numbers.
bool plain_windows(const LoweringContext& context);

// Ints of argument `i` (an int list; one value stands for n; empty: `otherwise`).
std::vector<int64_t> int_list(const LoweringContext& context, size_t i, size_t n, const std::vector<int64_t>& otherwise = {});

}  // namespace torch_hpu::compiler
