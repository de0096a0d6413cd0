// Rules of searches in sorted lines and in sets.
#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {
namespace {

DimVector sizes_of(InferContext& c, size_t arg) {  // of a tensor or a number
  return c.is_tensor(arg) ? c.window(arg).sizes : DimVector{};
}

c10::ScalarType place_dtype(InferContext& c, size_t out_int32) {
  return c.value(out_int32).toBool() ? c10::ScalarType::Int : c10::ScalarType::Long;
}

}  // namespace

void bucketize(InferContext& c) {  // (self, boundaries, out_int32, right)
  TORCH_CHECK(c.window(1).sizes.size() == 1, "[", c.op.name, "] boundaries tensor must be 1 dimension, but got dim(",
              c.window(1).sizes.size(), ")");
  c.returns.push_back(contiguous(place_dtype(c, 2), sizes_of(c, 0)));
}

void searchsorted(InferContext& c) {  // (sorted_sequence, self, out_int32, right, side?, sorter?)
  const Window& line = c.window(0);
  const DimVector values = sizes_of(c, 1);
  if (c.has(4)) {
    const std::string& side = c.value(4).toStringRef();
    TORCH_CHECK(side == "left" || side == "right", "[", c.op.name, "] side can only be 'left' or 'right' but got ", side);
    TORCH_CHECK(!c.value(3).toBool() || side == "right", "[", c.op.name, "] side and right can't be set to opposites, got side of ", side,
                " while right was True");
  }
  TORCH_CHECK(!line.sizes.empty(), "[", c.op.name, "] the sorted sequence should have 1 dimension or more, but got 0");
  TORCH_CHECK(!values.empty() || line.sizes.size() == 1, "[", c.op.name,
              "] input value can be a scalar only when the sorted sequence has 1 dimension, but it has ", line.sizes.size());
  const bool matched = line.sizes.size() == values.size() && std::equal(line.sizes.begin(), line.sizes.end() - 1, values.begin());
  TORCH_CHECK(line.sizes.size() == 1 || matched, "[", c.op.name,
              "] the sorted sequence should have 1 dimension or the dimensions of the input value but for the last: got ",
              c10::IntArrayRef(line.sizes), " and ", c10::IntArrayRef(values));
  if (c.is_tensor(5)) {
    TORCH_CHECK(c.window(5).sizes == line.sizes, "[", c.op.name, "] sequence and sorter must have the same size, but got ",
                c10::IntArrayRef(line.sizes), " and ", c10::IntArrayRef(c.window(5).sizes));
    TORCH_CHECK(c.window(5).dtype == c10::ScalarType::Long, "[", c.op.name, "] sorter must be of dtype int64 but got ", c.window(5).dtype);
  }
  c.returns.push_back(contiguous(place_dtype(c, 2), values));
}

void isin(InferContext& c) {  // (elements, test_elements, assume_unique, invert)
  c.returns.push_back(contiguous(c10::ScalarType::Bool, sizes_of(c, 0)));
}

}  // namespace torch_hpu::ir::rules
