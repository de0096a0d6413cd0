// Address maps as numbers: the dims of a map are the digits of an address, their strides the place values. Two maps over the same
// elements are compared by cutting their digits at each other's borders.
#pragma once

#include <optional>
#include <vector>

#include "csrc/codegen/loop.h"

namespace torch_hpu::compiler {

// A dim as a digit of an address: elements [0, size) times stride.
struct Digit {
  int64_t stride, size;
  size_t dim;
};

// By rising stride; without dims of size 1 and dims that do not move.
std::vector<Digit> digits_of(const codegen::DimVector& sizes, const codegen::DimVector& strides);

// For each digit of both lists the pieces it is cut into, as indices into the common list of sizes, inner first.
struct Refinement {
  std::vector<int64_t> sizes;             // of the pieces, by rising stride
  std::vector<std::vector<size_t>> a, b;  // by digit
};

// Nothing when the two lists do not enumerate the same addresses.
std::optional<Refinement> refine(const std::vector<Digit>& a, const std::vector<Digit>& b);

// Points (sizes `points`) are mapped to the elements of a tensor (sizes, strides), each once, by the strides `map`. How does another map
// of the points, `other`, move along the dims of the tensor? Strides by dim, 0 for dims of size 1 or without a stride. Nothing when the
// points are not the tensor's elements, or when `other` does not move evenly along some dim.
std::optional<codegen::DimVector> strides_along(const codegen::DimVector& sizes, const codegen::DimVector& strides,
                                                const codegen::DimVector& points, const codegen::DimVector& map,
                                                const codegen::DimVector& other);

}  // namespace torch_hpu::compiler
