// The meaning of a loop, evaluated point by point: what generated code is compared with.
#pragma once

#include <string>
#include <vector>

#include "csrc/codegen/loop.h"

namespace torch_hpu::codegen {

// A value of an expression; the dtype says which member holds it.
struct Number {
  int64_t i = 0;  // Bool and integers, wrapped to the dtype
  double d = 0;   // Float (a float's value) and Double
};

Number apply_reference(Op op, c10::ScalarType type, const std::vector<Number>& x);  // type of exprs[a]; kSelect: of b
Number cast_reference(Number x, c10::ScalarType from, c10::ScalarType to);
Number load_reference(const std::byte* p, c10::ScalarType memory);
void store_reference(std::byte* p, c10::ScalarType memory, Number x);

struct ReferenceRun {
  bool bad_index = false;
  bool zero_division = false;
};

// Runs the whole loop over memory, reads before writes.
ReferenceRun run_reference(const Loop& loop, std::byte* const* pointers, const int64_t* offsets, const ir::ScalarValue* scalars);

}  // namespace torch_hpu::codegen
