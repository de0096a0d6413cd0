// Searches: bucketize, searchsorted, isin.
#include <bit>

#include "csrc/compiler/reduction.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::Op;

// A binary search of `value` in `n` sorted elements along a line: the first place whose element is not below the value (right: above it). The steps are
// unrolled, each halves what is left. `element(place)` reads the line. NaN is above every number, as in ATen.
template <typename F>
E search(E value, int64_t n, bool right, F element) {
  LoopBuilder& b = *value.builder;
  E first = b.constant(0, ScalarType::Long), left = b.constant(static_cast<double>(n), ScalarType::Long);
  const E one = b.constant(1, ScalarType::Long), last = b.constant(static_cast<double>(n - 1), ScalarType::Long);
  for (int step = std::bit_width(static_cast<uint64_t>(n)); step > 0; --step) {
    const E half = binary(Op::kShr, left, one), place = first + half;
    const E x = element(minimum(place, last));
    const E go_right = (left > 0.0) & !(right ? x > value : x >= value);
    first = where(go_right, place + one, first);
    left = where(go_right, left - half - one, half);
  }
  return first;
}

constexpr int64_t kLongestLine = int64_t{1} << 24;  // beyond that the code of the unrolled steps is not worth it

// The value to look up: argument `arg`, a tensor or a number.
E sought(LoweringContext& c, LoopBuilder& b, size_t arg, ScalarType dtype) {
  const ir::Arg& a = c.node.args[arg];
  return a.kind == ir::Arg::Kind::kWindow ? cast(b.load(a.index), dtype) : b.scalar(a.index, dtype);
}

// Values are compared in one dtype: that of the line, unless a tensor of values promotes it.
ScalarType compared_dtype(const LoweringContext& c, size_t line, size_t values) {
  Promotion promotion;
  promotion.tensor(c.window(line).dtype, true, false);
  const ir::Arg& a = c.node.args[values];
  if (a.kind == ir::Arg::Kind::kWindow) {
    promotion.tensor(c.window(values).dtype, !c.window(values).sizes.empty(), a.wrapped);
  } else {
    a.kind == ir::Arg::Kind::kScalar ? promotion.scalar(c.graph.scalars[a.index].category) : promotion.tensor(a.dtype, false, a.wrapped);
  }
  return compute_dtype(promotion.result());
}

// (self, boundaries, out_int32, right)
bool lower_bucketize(LoweringContext& c) {
  const ir::Window &line = c.window(1), &out = c.write(0);
  if (!loopable(c) || line.numel() == 0 || line.numel() > kLongestLine) {
    return false;
  }
  LoopBuilder b(c, "bucketize", out.sizes, out.sizes.size());
  const ScalarType dtype = compared_dtype(c, 1, 0);
  const DimVector still(out.sizes.size(), 0);
  const E found = search(sought(c, b, 0, dtype), line.sizes[0], c.node.args[3].value.toBool(), [&](E place) {
    return cast(b.load_at(c.node.args[1].index, still, place * static_cast<double>(line.strides[0])), dtype);
  });
  b.store(c.node.writes[0], found);
  b.finish();
  return true;
}

// (sorted_sequence, self, out_int32, right, side?, sorter?). The sequence is one line for all, or has the dims of self but for the last.
bool lower_searchsorted(LoweringContext& c) {
  const ir::Window &line = c.window(0), &out = c.write(0);
  if (!loopable(c) || line.sizes.empty() || line.numel() == 0 || line.sizes.back() > kLongestLine) {
    return false;
  }
  LoopBuilder b(c, "searchsorted", out.sizes, out.sizes.size());
  const ScalarType dtype = compared_dtype(c, 0, 1);
  const auto lines = [&](const ir::Window& w) {  // strides over the dims of self that number the lines
    DimVector s(out.sizes.size(), 0);
    for (size_t d = 0; w.sizes.size() > 1 && d + 1 < w.sizes.size(); ++d) {
      s[d] = w.strides[d];
    }
    return s;
  };
  const bool right = c.node.args[3].value.toBool() || (!c.node.args[4].is_none() && c.node.args[4].value.toStringRef() == "right");
  const ir::Arg& sorter = c.node.args[5];
  const E found = search(sought(c, b, 1, dtype), line.sizes.back(), right, [&](E place) {
    if (sorter.kind == ir::Arg::Kind::kWindow) {
      const ir::Window& order = c.window(5);
      place = b.check_index(b.load_at(sorter.index, lines(order), place * static_cast<double>(order.strides.back())), line.sizes.back());
    }
    return cast(b.load_at(c.node.args[0].index, lines(line), place * static_cast<double>(line.strides.back())), dtype);
  });
  b.store(c.node.writes[0], found);
  b.finish();
  return true;
}

constexpr int64_t kFewTested = 256;  // ATen sorts beyond some such number; comparing with each would be slower

// (elements, test_elements, assume_unique, invert); either may be a number.
bool lower_isin(LoweringContext& c) {
  const ir::Arg &elements = c.node.args[0], &tests = c.node.args[1];
  const bool one_test = tests.kind != ir::Arg::Kind::kWindow;
  if (!loopable(c) || (!one_test && c.window(1).numel() > kFewTested)) {
    return false;
  }
  const bool invert = c.node.args[3].value.toBool();
  const ScalarType dtype = one_test ? compared_dtype(c, 0, 1) : compared_dtype(c, 1, 0);
  DimVector sizes = c.write(0).sizes, tested;
  const size_t kept = sizes.size();
  if (!one_test) {
    tested = c.window(1).sizes;
    sizes.append(tested.begin(), tested.end());
  }
  LoopBuilder b(c, "isin", sizes, kept);
  E x = b.constant(0, dtype), y = x;
  if (elements.kind == ir::Arg::Kind::kWindow) {
    x = cast(b.load(elements.index, vector_strides(sizes.size(), 0, c.window(0).sizes, c.window(0).strides)), dtype);
  } else {
    x = b.scalar(elements.index, dtype);
  }
  if (one_test) {
    y = b.scalar(tests.index, dtype);
  } else {
    y = cast(b.load(tests.index, vector_strides(sizes.size(), kept, tested, c.window(1).strides)), dtype);
  }
  const E hit = one_test ? equal(x, y) : sum(equal(x, y));
  b.store(c.node.writes[0], vector_strides(sizes.size(), 0, c.write(0).sizes, c.write(0).strides), invert ? !hit : hit);
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> search_lowerings() {
  return {
      {"bucketize.Tensor", &lower_bucketize},       {"bucketize.Scalar", &lower_bucketize}, {"searchsorted.Tensor", &lower_searchsorted},
      {"searchsorted.Scalar", &lower_searchsorted}, {"isin.Tensor_Tensor", &lower_isin},    {"isin.Tensor_Scalar", &lower_isin},
      {"isin.Scalar_Tensor", &lower_isin},
  };
}

}  // namespace torch_hpu::compiler
