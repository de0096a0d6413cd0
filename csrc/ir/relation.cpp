#include "csrc/ir/relation.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace torch_hpu::ir {
namespace {

struct Extent {
  int64_t first;  // bytes
  int64_t last;   // one past the end
};

Extent extent(const Window& w) {
  const auto item = static_cast<int64_t>(c10::elementSize(w.dtype));
  int64_t low = w.offset, high = w.offset;
  for (size_t d = 0; d < w.sizes.size(); ++d) {
    const int64_t span = (w.sizes[d] - 1) * w.strides[d];
    (span < 0 ? low : high) += span;
  }
  return {low * item, (high + 1) * item};
}

struct Dim {
  int64_t stride;
  int64_t size;
};

// The dims that move, by falling stride.
std::vector<Dim> moving_dims(const Window& w) {
  std::vector<Dim> dims;
  for (size_t d = 0; d < w.sizes.size(); ++d) {
    if (w.sizes[d] > 1 && w.strides[d] != 0) {
      dims.push_back({w.strides[d], w.sizes[d]});
    }
  }
  std::sort(dims.begin(), dims.end(), [](const Dim& x, const Dim& y) { return x.stride > y.stride; });
  return dims;
}

// Reads both offsets as digits in the common strides: windows like x[:, 0:3] and x[:, 5:9] interleave in memory, yet never meet
// because their ranges along one dim do not.
bool disjoint_by_digits(const Window& a, const Window& b) {
  std::vector<int64_t> strides;
  for (const Window* w : {&a, &b}) {
    for (const Dim& d : moving_dims(*w)) {
      if (d.stride < 0) {
        return false;
      }
      strides.push_back(d.stride);
    }
  }
  std::sort(strides.begin(), strides.end(), std::greater<>());
  strides.erase(std::unique(strides.begin(), strides.end()), strides.end());
  for (size_t i = 0; i + 1 < strides.size(); ++i) {
    if (strides[i] % strides[i + 1] != 0) {
      return false;
    }
  }
  int64_t rest_a = a.offset, rest_b = b.offset;
  const auto dims_a = moving_dims(a), dims_b = moving_dims(b);
  bool disjoint = false;
  for (size_t i = 0; i < strides.size(); ++i) {
    const int64_t stride = strides[i];
    auto size_at = [&](const std::vector<Dim>& dims) {
      int64_t size = 1;
      for (const Dim& d : dims) {
        if (d.stride == stride) {
          size += d.size - 1;
        }
      }
      return size;
    };
    const int64_t digit_a = rest_a / stride, digit_b = rest_b / stride;
    rest_a %= stride;
    rest_b %= stride;
    const int64_t end_a = digit_a + size_at(dims_a), end_b = digit_b + size_at(dims_b);
    // A digit that can carry into the one above makes digits meaningless.
    if (i > 0 && std::max(end_a, end_b) > strides[i - 1] / stride) {
      return false;
    }
    disjoint = disjoint || end_a <= digit_b || end_b <= digit_a;
  }
  return disjoint || rest_a != rest_b;
}

}  // namespace

Relation relation(const Window& a, const Window& b) {
  if (a.numel() == 0 || b.numel() == 0) {
    return Relation::kDisjoint;
  }
  if (a.offset == b.offset && a.sizes == b.sizes && a.strides == b.strides && a.dtype == b.dtype) {
    return Relation::kEqual;
  }
  const Extent x = extent(a), y = extent(b);
  if (x.last <= y.first || y.last <= x.first) {
    return Relation::kDisjoint;
  }
  if (c10::elementSize(a.dtype) == c10::elementSize(b.dtype) && disjoint_by_digits(a, b)) {
    return Relation::kDisjoint;
  }
  return Relation::kOverlapping;
}

bool comparable(const Graph& graph, const Window& w) {
  const Buffer& buffer = graph.buffers[w.buffer];
  if (buffer.kind == BufferKind::kLocal || buffer.written) {
    return true;
  }
  const Extent e = extent(w);
  return e.first == 0 && e.last == buffer.nbytes;
}

bool covers(const Window& w, int64_t nbytes) {
  if (w.offset != 0 || w.numel() * static_cast<int64_t>(c10::elementSize(w.dtype)) != nbytes) {
    return false;
  }
  // No two elements share an address when sorted strides are nested; a full count of elements then means a full cover.
  c10::SmallVector<std::pair<int64_t, int64_t>, 5> dims;
  for (size_t d = 0; d < w.sizes.size(); ++d) {
    if (w.sizes[d] != 1) {
      dims.emplace_back(w.strides[d], w.sizes[d]);
    }
  }
  std::sort(dims.begin(), dims.end());
  int64_t expected = 1;
  for (auto [stride, size] : dims) {
    if (stride != expected) {
      return false;
    }
    expected *= size;
  }
  return true;
}

}  // namespace torch_hpu::ir
