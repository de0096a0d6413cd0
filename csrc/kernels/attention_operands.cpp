#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <limits>

#include "csrc/kernels/attention.h"

namespace torch_hpu::kernels {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

bool has_dtype(c10::ScalarType t) {
  return t == c10::ScalarType::Float || t == c10::ScalarType::BFloat16 || t == c10::ScalarType::Half;
}

bool has_rows(const Operand& o, c10::ScalarType t) {
  return !present(o) || (o.dtype == t && o.sizes.size() == 4 && (o.strides[3] == 1 || o.sizes[3] == 1));
}

template <typename T>
void add_elements(const std::byte* data, int64_t at, int64_t step, int64_t n, float* scores) {
  const T* m = reinterpret_cast<const T*>(data) + at;
  if (step == 1) {
    for (int64_t i = 0; i < n; ++i) {
      scores[i] += static_cast<float>(m[i]);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      scores[i] += static_cast<float>(m[i * step]);
    }
  }
}

}  // namespace

int64_t AttentionShape::visible(int64_t r0, int64_t n) const {
  const int64_t first = r0 % l;
  return !causal ? s : first + n > l ? std::min(l, s) : std::min(first + n, s);
}

AttentionShape attention_shape(const LibraryCall& call, const Operand& q, const Operand& k, const Operand& v) {
  AttentionShape s;
  s.b = q.sizes[0];
  s.h = q.sizes[1];
  s.g = k.sizes[1];
  s.l = q.sizes[2];
  s.s = k.sizes[2];
  s.e = q.sizes[3];
  s.f = v.sizes[3];
  s.repeat = s.h / s.g;
  s.causal = call.ints.at(0) != 0;
  s.scale = static_cast<float>(call.floats.at(0));
  return s;
}

Heads::Heads(const Operand& o, const Invocation& invocation) : data(optional_address(o, invocation)), dtype(o.dtype) {
  std::copy(o.strides.begin(), o.strides.end(), strides.begin());
}

Mask::Mask(const Operand& o, const Invocation& invocation) : dtype(o.dtype), data(optional_address(o, invocation)) {
  for (size_t d = 0; d < o.sizes.size(); ++d) {
    strides[4 - o.sizes.size() + d] = o.sizes[d] == 1 ? 0 : o.strides[d];
  }
}

void Mask::add(int64_t b, int64_t h, int64_t l, int64_t s0, int64_t n, float* scores) const {
  const int64_t at = b * strides[0] + h * strides[1] + l * strides[2] + s0 * strides[3], step = strides[3];
  switch (dtype) {
    case c10::ScalarType::Bool: {
      const auto* m = reinterpret_cast<const bool*>(data) + at;
      for (int64_t i = 0; i < n; ++i) {
        scores[i] = m[i * step] ? scores[i] : kLowest;
      }
      break;
    }
    case c10::ScalarType::Float:
      return add_elements<float>(data, at, step, n, scores);
    case c10::ScalarType::BFloat16:
      return add_elements<c10::BFloat16>(data, at, step, n, scores);
    default:
      return add_elements<c10::Half>(data, at, step, n, scores);
  }
}

void mask_row(const AttentionShape& shape, const Mask& mask, int64_t b, int64_t g, int64_t r, int64_t s0, int64_t n, float* scores) {
  const int64_t l = r % shape.l;
  if (mask.data != nullptr) {
    mask.add(b, shape.head(g, r), l, s0, n, scores);
  }
  if (shape.causal && l + 1 < s0 + n) {
    std::fill(scores + std::max<int64_t>(0, l + 1 - s0), scores + n, kLowest);
  }
}

// reads, forward: q, k, v, mask?; backward: grad_out, q, k, v, mask?, out, logsumexp
bool attention_supported(const LibraryCall& call) {
  const bool backward = call.primitive == Primitive::kAttentionBackward;
  const size_t first = backward ? 1 : 0;
  const Operand &q = call.reads[first], &k = call.reads[first + 1], &v = call.reads[first + 2], &mask = call.reads[first + 3];
  const c10::ScalarType t = q.dtype;
  bool fits = has_dtype(t) && has_rows(q, t) && has_rows(k, t) && has_rows(v, t) && numel(q) != 0 && numel(k) != 0 && numel(v) != 0 &&
              q.sizes[0] == k.sizes[0] && k.sizes[1] == v.sizes[1] && q.sizes[1] % k.sizes[1] == 0 &&
              (!present(mask) || (mask.sizes.size() <= 4 && (mask.dtype == c10::ScalarType::Bool || has_dtype(mask.dtype))));
  if (!backward) {
    return fits && has_rows(call.writes[0], t) && (!present(call.writes[1]) || call.writes[1].dtype == c10::ScalarType::Float);
  }
  for (const Operand& grad : call.writes) {
    fits = fits && has_rows(grad, t);
  }
  return fits && has_rows(call.reads[0], t) && has_rows(call.reads[5], t) && call.reads[6].dtype == c10::ScalarType::Float;
}

}  // namespace torch_hpu::kernels
