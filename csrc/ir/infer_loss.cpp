// Rules of losses.
#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

void loss(InferContext& c) {  // (self, target, reduction)
  pointwise(c, Promote::kCommon, 0);
  if (c.value(2).toInt() != 0) {
    c.returns[0] = contiguous(c.returns[0].dtype, {});
  }
}

void cross_entropy(InferContext& c) {  // (self, target, weight?, reduction)
  const Window &x = c.window(0), &y = c.window(1);
  TORCH_CHECK(x.sizes == y.sizes, "[", c.op.name, "] got a target of size ", c10::IntArrayRef(y.sizes), ", expected the input's, ",
              c10::IntArrayRef(x.sizes));
  TORCH_CHECK(x.dtype == y.dtype, "[", c.op.name, "] got a target of dtype ", y.dtype, ", expected the input's, ", x.dtype);
  c.returns.push_back(c.value(3).toInt() != 0 ? contiguous(x.dtype, {}) : like(x));
}

void loss_backward(InferContext& c) {
  c.returns.push_back(like(c.window(1)));
}

void nll_loss_forward(InferContext& c) {  // (self, target, weight?, reduction, ignore_index)
  const Window &x = c.window(0), &t = c.window(1);
  TORCH_CHECK(x.sizes.size() == 1 || x.sizes.size() == 2, "[", c.op.name, "] got an input of ", x.sizes.size(), " dims, expected 1 or 2");
  TORCH_CHECK(t.dtype == c10::ScalarType::Long || t.dtype == c10::ScalarType::Byte, "[", c.op.name, "] got a target of dtype ", t.dtype,
              ", expected int64");
  TORCH_CHECK(x.sizes.size() == 1 || (t.sizes.size() == 1 && t.sizes[0] == x.sizes[0]), "[", c.op.name, "] size mismatch: got input ",
              c10::IntArrayRef(x.sizes), " and target ", c10::IntArrayRef(t.sizes));
  const bool reduce = c.value(3).toInt() != 0 || x.sizes.size() == 1;
  c.returns.push_back(contiguous(x.dtype, reduce ? DimVector{} : DimVector{x.sizes[0]}));
  c.returns.push_back(contiguous(x.dtype, {}));
}

void multi_margin_loss(InferContext& c) {  // (self [N, C], target [N], p, margin, weight?, reduction)
  const Window &x = c.window(0), &t = c.window(1);
  TORCH_CHECK(x.sizes.size() <= 2 && !x.sizes.empty() && x.sizes.back() != 0, "[", c.op.name,
              "] expected a non-empty vector or matrix with optional 0-dim batch size, but got ", c10::IntArrayRef(x.sizes));
  const int64_t n = x.sizes.size() == 2 ? x.sizes[0] : 1;
  TORCH_CHECK(t.sizes.size() <= 1 && t.numel() == n, "[", c.op.name, "] inconsistent target size, expected ", n, " but got ",
              c10::IntArrayRef(t.sizes));
  c.returns.push_back(contiguous(x.dtype, c.value(5).toInt() != 0 || x.sizes.size() == 1 ? DimVector{} : DimVector{n}));
}

void nll_loss2d_forward(InferContext& c) {  // (self [N, C, H, W], target [N, H, W], weight?, reduction, ignore_index)
  check_dims(c, 0, 4, "input");
  check_dims(c, 1, 3, "target");
  const Window &x = c.window(0), &t = c.window(1);
  TORCH_CHECK(t.dtype == c10::ScalarType::Long || t.dtype == c10::ScalarType::Byte, "[", c.op.name, "] got a target of dtype ", t.dtype,
              ", expected int64");
  TORCH_CHECK(t.sizes[0] == x.sizes[0] && t.sizes[1] == x.sizes[2] && t.sizes[2] == x.sizes[3], "[", c.op.name,
              "] size mismatch: got input ", c10::IntArrayRef(x.sizes), " and target ", c10::IntArrayRef(t.sizes));
  c.returns.push_back(contiguous(x.dtype, c.value(3).toInt() != 0 ? DimVector{} : t.sizes));
  c.returns.push_back(contiguous(x.dtype, {}));
}

void nll_loss_backward(InferContext& c) {  // (grad_output, self, target, weight?, reduction, ignore_index, total_weight)
  c.returns.push_back(contiguous(c.window(1).dtype, c.window(1).sizes));
}

}  // namespace torch_hpu::ir::rules
