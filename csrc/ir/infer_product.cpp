// Rules of matrix products.
#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {
namespace {

void check_inner(InferContext& c, const Window& a, const Window& b, int64_t k, int64_t k2) {
  TORCH_CHECK(k == k2, "[", c.op.name, "] inner dimensions differ: got ", c10::IntArrayRef(a.sizes), " and ", c10::IntArrayRef(b.sizes),
              ", expected ", k, " == ", k2);
}

}  // namespace

void mm(InferContext& c) {
  check_dims(c, 0, 2, "self");
  check_dims(c, 1, 2, "mat2");
  check_same_dtype(c, 0, 1);
  const Window &a = c.window(0), &b = c.window(1);
  check_inner(c, a, b, a.sizes[1], b.sizes[0]);
  c.returns.push_back(contiguous(a.dtype, {a.sizes[0], b.sizes[1]}));
}

void bmm(InferContext& c) {
  check_dims(c, 0, 3, "self");
  check_dims(c, 1, 3, "mat2");
  check_same_dtype(c, 0, 1);
  const Window &a = c.window(0), &b = c.window(1);
  TORCH_CHECK(a.sizes[0] == b.sizes[0], "[", c.op.name, "] batch sizes differ: got ", c10::IntArrayRef(a.sizes), " and ",
              c10::IntArrayRef(b.sizes));
  check_inner(c, a, b, a.sizes[2], b.sizes[1]);
  c.returns.push_back(contiguous(a.dtype, {a.sizes[0], a.sizes[1], b.sizes[2]}));
}

void addmm(InferContext& c) {  // (self, mat1, mat2, beta, alpha)
  check_dims(c, 1, 2, "mat1");
  check_dims(c, 2, 2, "mat2");
  check_same_dtype(c, 1, 2);
  const Window &a = c.window(1), &b = c.window(2);
  check_inner(c, a, b, a.sizes[1], b.sizes[0]);
  const Window& bias = c.window(0);
  const std::array<int64_t, 2> out{a.sizes[0], b.sizes[1]};
  for (size_t i = 0; i < bias.sizes.size(); ++i) {
    const int64_t s = bias.sizes[bias.sizes.size() - 1 - i];
    TORCH_CHECK(i < 2 && (s == 1 || s == out[1 - i]), "[", c.op.name, "] self of shape ", c10::IntArrayRef(bias.sizes),
                " cannot be broadcast to the result ", c10::IntArrayRef(out));
  }
  c.returns.push_back(contiguous(a.dtype, out));
}

void baddbmm(InferContext& c) {  // (self, batch1, batch2, beta, alpha)
  check_dims(c, 1, 3, "batch1");
  check_dims(c, 2, 3, "batch2");
  check_same_dtype(c, 1, 2);
  const Window &a = c.window(1), &b = c.window(2);
  check_inner(c, a, b, a.sizes[2], b.sizes[1]);
  c.returns.push_back(contiguous(a.dtype, {a.sizes[0], a.sizes[1], b.sizes[2]}));
}

void mv(InferContext& c) {
  check_dims(c, 0, 2, "self");
  check_dims(c, 1, 1, "vec");
  check_same_dtype(c, 0, 1);
  check_inner(c, c.window(0), c.window(1), c.window(0).sizes[1], c.window(1).sizes[0]);
  c.returns.push_back(contiguous(c.window(0).dtype, {c.window(0).sizes[0]}));
}

void addmv(InferContext& c) {  // (self, mat, vec, beta, alpha)
  check_dims(c, 1, 2, "mat");
  check_dims(c, 2, 1, "vec");
  check_same_dtype(c, 1, 2);
  const Window &bias = c.window(0), &a = c.window(1);
  check_inner(c, a, c.window(2), a.sizes[1], c.window(2).sizes[0]);
  const bool fits = bias.sizes.empty() || (bias.sizes.size() == 1 && (bias.sizes[0] == 1 || bias.sizes[0] == a.sizes[0]));
  TORCH_CHECK(fits, "[", c.op.name, "] self of shape ", c10::IntArrayRef(bias.sizes), " cannot be broadcast to the result [", a.sizes[0],
              "]");
  c.returns.push_back(contiguous(a.dtype, {a.sizes[0]}));
}

void dot(InferContext& c) {
  check_dims(c, 0, 1, "self");
  check_dims(c, 1, 1, "tensor");
  check_same_dtype(c, 0, 1);
  check_inner(c, c.window(0), c.window(1), c.window(0).sizes[0], c.window(1).sizes[0]);
  c.returns.push_back(contiguous(c.window(0).dtype, {}));
}

}  // namespace torch_hpu::ir::rules
