#include "csrc/compiler/digits.h"

#include <algorithm>

namespace torch_hpu::compiler {

using codegen::DimVector;

std::vector<Digit> digits_of(const DimVector& sizes, const DimVector& strides) {
  std::vector<Digit> digits;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] > 1 && strides[d] != 0) {
      digits.push_back({strides[d], sizes[d], d});
    }
  }
  std::sort(digits.begin(), digits.end(), [](const Digit& a, const Digit& b) { return a.stride < b.stride; });
  return digits;
}

std::optional<Refinement> refine(const std::vector<Digit>& a, const std::vector<Digit>& b) {
  Refinement r;
  r.a.resize(a.size());
  r.b.resize(b.size());
  size_t i = 0, j = 0;
  int64_t done_a = 1, done_b = 1;  // parts of the current digits already cut off
  while (i < a.size() && j < b.size()) {
    if (a[i].stride * done_a != b[j].stride * done_b) {
      return std::nullopt;
    }
    const int64_t rest_a = a[i].size / done_a, rest_b = b[j].size / done_b;
    const int64_t piece = std::min(rest_a, rest_b);
    if (rest_a % piece != 0 || rest_b % piece != 0) {
      return std::nullopt;
    }
    r.a[i].push_back(r.sizes.size());
    r.b[j].push_back(r.sizes.size());
    r.sizes.push_back(piece);
    done_a *= piece;
    done_b *= piece;
    if (done_a == a[i].size) {
      ++i;
      done_a = 1;
    }
    if (done_b == b[j].size) {
      ++j;
      done_b = 1;
    }
  }
  if (i < a.size() || j < b.size()) {
    return std::nullopt;
  }
  return r;
}

std::optional<DimVector> strides_along(const DimVector& sizes, const DimVector& strides, const DimVector& points, const DimVector& map,
                                       const DimVector& other) {
  const std::vector<Digit> tensor = digits_of(sizes, strides), digits = digits_of(points, map);
  const auto moving = std::count_if(points.begin(), points.end(), [](int64_t s) { return s != 1; });
  const auto r = refine(tensor, digits);
  if (!r || static_cast<size_t>(moving) != digits.size()) {
    return std::nullopt;
  }
  std::vector<int64_t> stride(r->sizes.size());  // of `other` along each piece
  for (size_t i = 0; i < digits.size(); ++i) {
    int64_t step = other[digits[i].dim];
    for (size_t piece : r->b[i]) {
      stride[piece] = step;
      step *= r->sizes[piece];
    }
  }
  DimVector result(sizes.size(), 0);
  for (size_t i = 0; i < tensor.size(); ++i) {
    const std::vector<size_t>& pieces = r->a[i];
    for (size_t k = 1; k < pieces.size(); ++k) {
      if (stride[pieces[k]] != stride[pieces[k - 1]] * r->sizes[pieces[k - 1]]) {
        return std::nullopt;
      }
    }
    result[tensor[i].dim] = stride[pieces[0]];
  }
  return result;
}

}  // namespace torch_hpu::compiler
