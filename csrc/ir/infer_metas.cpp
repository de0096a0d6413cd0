#include "csrc/ir/infer_metas.h"

#include <ATen/ExpandUtils.h>
#include <c10/util/strides.h>

namespace torch_hpu::ir::rules {

TensorMeta contiguous(c10::ScalarType dtype, c10::IntArrayRef sizes) {
  TensorMeta m;
  m.dtype = dtype;
  m.sizes.assign(sizes.begin(), sizes.end());
  const auto s = c10::contiguous_strides(sizes);
  m.strides.assign(s.begin(), s.end());
  return m;
}

TensorMeta undefined() {
  TensorMeta m;
  m.defined = false;
  return m;
}

TensorMeta like(const Window& w, std::optional<c10::ScalarType> dtype) {
  TensorMeta m{true, dtype.value_or(w.dtype), w.sizes, {}};
  const auto s = at::infer_dense_strides(w.sizes, w.strides);
  m.strides.assign(s.begin(), s.end());
  return m;
}

bool is_channels_last(const Window& w) {
  const bool inner = w.sizes.size() == 4   ? c10::is_channels_last_strides_2d(w.sizes, w.strides)
                     : w.sizes.size() == 5 ? c10::is_channels_last_strides_3d(w.sizes, w.strides)
                                           : false;
  return inner && !c10::IntArrayRef(w.strides).equals(c10::contiguous_strides(w.sizes));
}

TensorMeta image(c10::ScalarType dtype, c10::IntArrayRef sizes, bool channels_last) {
  TensorMeta m = contiguous(dtype, sizes);
  if (channels_last && (sizes.size() == 4 || sizes.size() == 5)) {
    const auto s = sizes.size() == 4 ? c10::get_channels_last_strides_2d(sizes) : c10::get_channels_last_strides_3d(sizes);
    m.strides.assign(s.begin(), s.end());
  }
  return m;
}

std::vector<int64_t> expand(const c10::IValue& v, size_t n) {
  std::vector<int64_t> values = v.toIntVector();
  if (values.size() == 1) {
    values.resize(n, values[0]);
  }
  return values;
}

void check_dims(InferContext& c, size_t arg, size_t dims, const char* what) {
  TORCH_CHECK(c.is_tensor(arg) && c.window(arg).sizes.size() == dims, "[", c.op.name, "] ", what, ": got ",
              c.is_tensor(arg) ? c.window(arg).sizes.size() : 0, " dims, expected ", dims);
}

void check_same_dtype(InferContext& c, size_t a, size_t b) {
  TORCH_CHECK(c.window(a).dtype == c.window(b).dtype, "[", c.op.name, "] tensors differ in dtype: got ", c.window(a).dtype, " and ",
              c.window(b).dtype, ", expected one dtype");
}

void check_index_dtype(InferContext& c, size_t arg) {
  const c10::ScalarType t = c.window(arg).dtype;
  TORCH_CHECK(t == c10::ScalarType::Long || t == c10::ScalarType::Int, "[", c.op.name, "] got an index of dtype ", t,
              ", expected int64 or int32");
}

}  // namespace torch_hpu::ir::rules
