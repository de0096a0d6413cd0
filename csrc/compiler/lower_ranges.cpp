// Factories whose elements are functions of their coordinates.
#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;

// What ATen counts in: integers exactly, floating point in double.
ScalarType counting_dtype(ScalarType t) {
  return c10::isIntegralType(t, false) ? ScalarType::Long : ScalarType::Double;
}

bool lower_arange(LoweringContext& c) {  // (start, end, step, ...)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "arange", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = counting_dtype(c.write(0).dtype);
  const E i = cast(b.linear_index(), dtype);
  b.store(c.node.writes[0], b.scalar(c.node.args[0].index, dtype) + b.scalar(c.node.args[2].index, dtype) * i);
  b.finish();
  return true;
}

// Element i of `steps` ones from start to end: counted from the nearer side, as ATen does, so that both ends are met exactly.
E spaced(LoweringContext& c, LoopBuilder& b) {  // (start, end, steps, ...)
  const int64_t steps = c.node.args[2].value.toInt();
  const ScalarType dtype = ScalarType::Double;
  E start = b.scalar(c.node.args[0].index, dtype), end = b.scalar(c.node.args[1].index, dtype);
  if (c10::isIntegralType(c.write(0).dtype, true)) {
    start = unary(codegen::Op::kTrunc, start);
    end = unary(codegen::Op::kTrunc, end);
  }
  if (steps == 1) {
    return start;
  }
  const E step = (end - start) / static_cast<double>(steps - 1), i = cast(b.linear_index(), dtype);
  return where(i < static_cast<double>(steps / 2), start + step * i, end - step * (static_cast<double>(steps - 1) - i));
}

bool lower_linspace(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "linspace", c.write(0).sizes, c.write(0).sizes.size());
  b.store(c.node.writes[0], spaced(c, b));
  b.finish();
  return true;
}

bool lower_logspace(LoweringContext& c) {  // (start, end, steps, base, ...)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "logspace", c.write(0).sizes, c.write(0).sizes.size());
  b.store(c.node.writes[0], pow(b.scalar(c.node.args[3].index, ScalarType::Double), spaced(c, b)));
  b.finish();
  return true;
}

bool lower_eye(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "eye", c.write(0).sizes, 2);
  b.store(c.node.writes[0], equal(b.index(0), b.index(1)));
  b.finish();
  return true;
}

// Coordinates of the elements on and below a diagonal, row by row: first rows that grow by one column each, then full ones. What lies on and
// above a diagonal is the same seen from the last element backwards.
template <bool Upper>
bool lower_triangle_indices(LoweringContext& c) {  // (row, col, offset, ...)
  if (!loopable(c)) {
    return false;
  }
  const int64_t rows = c.node.args[0].value.toInt(), cols = c.node.args[1].value.toInt(), given = c.node.args[2].value.toInt();
  const int64_t offset = Upper ? cols - rows - given : given, n = c.write(0).sizes[1];
  const int64_t first_row = std::max<int64_t>(0, -offset), first = std::min(cols, first_row + offset + 1);  // columns of the first row
  const int64_t growing = std::min(rows - first_row, cols - first + 1);
  const int64_t before_full = growing * first + growing * (growing - 1) / 2;
  LoopBuilder b(c, Upper ? "triu_indices" : "tril_indices", {n}, 1);
  const E k = Upper ? b.integer(n - 1) - b.index(0) : b.index(0);
  // Row r of the growing ones begins at r * first + r (r - 1) / 2; the root gives r, or one beside it.
  auto begin = [&](E r) { return binary(codegen::Op::kDivFloor, r * static_cast<double>(2 * first - 1) + r * r, b.integer(2)); };
  const double half = static_cast<double>(first) - 0.5;
  E r = cast(sqrt(cast(k, ScalarType::Double) * 2 + half * half) - half, ScalarType::Long);
  r = where(begin(r) > k, r - 1, r);
  r = where(begin(r + 1) <= k, r + 1, r);
  const E rest = k - static_cast<double>(before_full), width = b.integer(std::max<int64_t>(cols, 1));
  const E full = rest >= 0.0;
  E row = where(full, binary(codegen::Op::kDivFloor, rest, width) + static_cast<double>(growing), r) + static_cast<double>(first_row);
  E col = where(full, binary(codegen::Op::kRemainder, rest, width), k - begin(r));
  if (Upper) {
    row = static_cast<double>(rows - 1) - row;
    col = static_cast<double>(cols - 1) - col;
  }
  const ir::Window& out = c.write(0);
  b.store_at_offset(c.node.writes[0], {out.strides[1]}, 0, row);
  b.store_at_offset(c.node.writes[0], {out.strides[1]}, out.strides[0], col);
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> range_lowerings() {
  return {
      {"arange.start_step", &lower_arange},
      {"range.step", &lower_arange},
      {"linspace", &lower_linspace},
      {"logspace", &lower_logspace},
      {"eye.m", &lower_eye},
      {"tril_indices", &lower_triangle_indices<false>},
      {"triu_indices", &lower_triangle_indices<true>},
  };
}

}  // namespace torch_hpu::compiler
