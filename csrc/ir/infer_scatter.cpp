// Rules of ops that write to places which indices name.
#include <ATen/ExpandUtils.h>
#include <ATen/WrapDimUtils.h>

#include <algorithm>

#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {
namespace {

size_t dim_of(InferContext& c) {  // argument 1, of self
  return static_cast<size_t>(at::maybe_wrap_dim(c.value(1).toInt(), static_cast<int64_t>(c.window(0).sizes.size())));
}

size_t rank_of(const Window& w) {  // a tensor without dims counts as one of one element
  return std::max<size_t>(1, w.sizes.size());
}

int64_t size_of(const Window& w, size_t d) {
  return w.sizes.empty() ? 1 : w.sizes[d];
}

}  // namespace

void scatter(InferContext& c) {  // (self, dim, index, src or value, ...)
  const Window &x = c.window(0), &index = c.window(2);
  const size_t dim = dim_of(c);
  check_index_dtype(c, 2);
  c.returns.push_back(contiguous(x.dtype, x.sizes));
  if (index.numel() == 0) {
    return;
  }
  TORCH_CHECK(rank_of(index) == rank_of(x), "[", c.op.name, "] index has ", index.sizes.size(), " dims, expected as many as self has, ",
              x.sizes.size());
  for (size_t d = 0; d < rank_of(x); ++d) {
    TORCH_CHECK(d == dim || size_of(index, d) <= size_of(x, d), "[", c.op.name, "] size of index ", c10::IntArrayRef(index.sizes),
                " exceeds self ", c10::IntArrayRef(x.sizes), " apart from dimension ", dim);
  }
  if (c.is_tensor(3)) {
    const Window& src = c.window(3);
    check_same_dtype(c, 0, 3);
    TORCH_CHECK(rank_of(src) == rank_of(x), "[", c.op.name, "] src has ", src.sizes.size(), " dims, expected as many as self has, ",
                x.sizes.size());
    for (size_t d = 0; d < rank_of(x); ++d) {
      TORCH_CHECK(size_of(index, d) <= size_of(src, d), "[", c.op.name, "] size of index ", c10::IntArrayRef(index.sizes), " exceeds src ",
                  c10::IntArrayRef(src.sizes));
    }
  }
}

void index_update(InferContext& c) {  // (self, dim, index, source, ...)
  const Window &x = c.window(0), &index = c.window(2), &source = c.window(3);
  const size_t dim = dim_of(c);
  check_index_dtype(c, 2);
  check_same_dtype(c, 0, 3);
  TORCH_CHECK_INDEX(index.sizes.size() <= 1, "[", c.op.name, "] index should have 1 dim, got ", index.sizes.size());
  TORCH_CHECK(rank_of(source) == rank_of(x), "[", c.op.name, "] source has ", source.sizes.size(), " dims, expected as many as self has, ",
              x.sizes.size());
  for (size_t d = 0; d < rank_of(x); ++d) {
    const int64_t expected = d == dim ? index.numel() : size_of(x, d);
    TORCH_CHECK_INDEX(size_of(source, d) == expected, "[", c.op.name, "] source of size ", c10::IntArrayRef(source.sizes),
                      " does not fit self ", c10::IntArrayRef(x.sizes), " with ", index.numel(), " indices along dimension ", dim);
  }
  c.returns.push_back(contiguous(x.dtype, x.sizes));
}

void index_fill(InferContext& c) {  // (self, dim, index, value)
  dim_of(c);
  check_index_dtype(c, 2);
  TORCH_CHECK_INDEX(c.window(2).sizes.size() <= 1, "[", c.op.name, "] index should have 1 dim, got ", c.window(2).sizes.size());
  TORCH_CHECK(!c.is_tensor(3) || c.window(3).sizes.empty(), "[", c.op.name, "] got a value with ",
              c.is_tensor(3) ? c.window(3).sizes.size() : 0, " dims, expected a number or a tensor without dims");
  c.returns.push_back(like(c.window(0)));
}

void put(InferContext& c) {  // (self, index, source, accumulate)
  const Window &index = c.window(1), &source = c.window(2);
  TORCH_CHECK(index.dtype == c10::ScalarType::Long, "[", c.op.name, "] got an index of dtype ", index.dtype, ", expected int64");
  check_same_dtype(c, 0, 2);
  TORCH_CHECK_INDEX(index.numel() == source.numel(), "[", c.op.name, "] got ", source.numel(), " source elements for ", index.numel(),
                    " indices, expected as many of both");
  c.returns.push_back(like(c.window(0)));
}

void take(InferContext& c) {  // (self, index)
  const Window& index = c.window(1);
  TORCH_CHECK(index.dtype == c10::ScalarType::Long, "[", c.op.name, "] got an index of dtype ", index.dtype, ", expected int64");
  TORCH_CHECK_INDEX(c.window(0).numel() > 0 || index.numel() == 0, "[", c.op.name, "] cannot take from an empty tensor");
  c.returns.push_back(contiguous(c.window(0).dtype, index.sizes));
}

void index_put(InferContext& c) {  // (self, indices, values, accumulate, ...)
  const Window& x = c.window(0);
  const c10::ScalarType value = c.is_tensor(2) ? c.window(2).dtype : c.args[2].dtype;
  TORCH_CHECK_INDEX(value == x.dtype, "[", c.op.name, "] got values of dtype ", value, ", expected self's, ", x.dtype);
  TORCH_CHECK_INDEX(c.args[1].count <= x.sizes.size(), "[", c.op.name, "] too many indices for tensor of dimension ", x.sizes.size(),
                    " (got ", c.args[1].count, ")");
  bool masked = false;
  size_t d = 0;  // the dim that an index stands for; a mask stands for as many as it has
  for (uint32_t k = 0; k < c.args[1].count; ++k) {
    const WindowId id = c.list_items[c.args[1].index + k];
    if (id == kNone || c10::elementSize(c.windows[id].dtype) > 1) {
      ++d;
      continue;
    }
    masked = true;
    const Window& m = c.windows[id];
    TORCH_CHECK_INDEX(
        d + m.sizes.size() <= x.sizes.size() && std::equal(m.sizes.begin(), m.sizes.end(), x.sizes.begin() + static_cast<int64_t>(d)), "[",
        c.op.name, "] the mask ", c10::IntArrayRef(m.sizes), " does not fit dimension ", d, " of the indexed tensor ",
        c10::IntArrayRef(x.sizes));
    d += m.sizes.size();
  }
  if (!masked && c.is_tensor(2)) {  // how many elements a mask selects depends on its data
    index(c);
    const DimVector indexed = c.returns.back().sizes;
    c.returns.pop_back();
    TORCH_CHECK_INDEX(at::is_expandable_to(c.window(2).sizes, indexed), "[", c.op.name, "] shape mismatch: values of size ",
                      c10::IntArrayRef(c.window(2).sizes), " cannot be broadcast to the indexed part, ", c10::IntArrayRef(indexed));
  }
  c.returns.push_back(like(x));
}

}  // namespace torch_hpu::ir::rules
