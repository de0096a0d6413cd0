// Rules of scaled dot-product attention.
#include <ATen/ExpandUtils.h>

#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

// (query, key, value, attn_bias?, dropout_p, ...) -> output, logsumexp. Output lies as [B, L, H, F], as ATen's kernel leaves it, so that heads
// are joined without a copy.
void attention(InferContext& c) {
  const Window &q = c.window(0), &k = c.window(1), &v = c.window(2);
  const size_t n = q.sizes.size();
  TORCH_CHECK((n == 3 || n == 4) && k.sizes.size() == n && v.sizes.size() == n && k.sizes[n - 1] == q.sizes[n - 1] &&
                  k.sizes[n - 2] == v.sizes[n - 2] && k.sizes[n - 3] == v.sizes[n - 3] && k.sizes[n - 3] != 0 &&
                  q.sizes[n - 3] % k.sizes[n - 3] == 0 && k.sizes[0] == v.sizes[0] && (n == 3 || q.sizes[0] == k.sizes[0]),
              "[", c.op.name, "] sizes do not fit: got query ", c10::IntArrayRef(q.sizes), ", key ", c10::IntArrayRef(k.sizes),
              " and value ", c10::IntArrayRef(v.sizes), ", expected [B, H, L, E], [B, G, S, E] and [B, G, S, F], H a multiple of G");
  check_same_dtype(c, 0, 1);
  check_same_dtype(c, 0, 2);
  TORCH_CHECK(c.value(4).toDouble() == 0, "[", c.op.name, "] got dropout_p=", c.value(4).toDouble(), ", expected 0");
  DimVector sizes = q.sizes, scores = q.sizes;
  sizes[n - 1] = v.sizes[n - 1];
  scores[n - 1] = k.sizes[n - 2];
  TORCH_CHECK(!c.has(3) || at::is_expandable_to(c.window(3).sizes, scores), "[", c.op.name, "] got a mask of size ",
              c10::IntArrayRef(c.window(3).sizes), ", expected one that broadcasts to ", c10::IntArrayRef(scores));
  TensorMeta out = contiguous(q.dtype, sizes);
  if (n == 4) {
    out.strides = {sizes[1] * sizes[2] * sizes[3], sizes[3], sizes[1] * sizes[3], 1};
  }
  c.returns = {out, contiguous(c10::ScalarType::Float, {sizes.data(), n - 1})};
}

// (grad_out, query, key, value, attn_bias, grad_input_mask, ...) -> gradients of query, key, value, attn_bias
void attention_backward(InferContext& c) {
  const auto wanted = c.value(5).toBoolList();
  for (size_t i = 0; i < 4; ++i) {
    c.returns.push_back(wanted[i] && c.has(1 + i) ? like(c.window(1 + i)) : undefined());
  }
}

}  // namespace torch_hpu::ir::rules
