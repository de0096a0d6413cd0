// What lowerings over some dims of a tensor share: the iteration space with the reduced dims last.
#pragma once

#include <ATen/WrapDimUtils.h>
#include <ATen/WrapDimUtilsMulti.h>

#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {

using codegen::DimVector;

// The dims of a window split into kept and reduced ones: an iteration space with the kept dims first.
struct Split {
  std::vector<size_t> kept, reduced;  // dims of the window

  // No dims: all of them are reduced.
  Split(const ir::Window& w, const std::vector<int64_t>& dims) {
    const auto mask = at::dim_list_to_bitset(dims, w.sizes.size());
    for (size_t d = 0; d < w.sizes.size(); ++d) {
      (dims.empty() || mask[d] ? reduced : kept).push_back(d);
    }
  }

  // All dims but one are reduced.
  static Split all_but(const ir::Window& w, int64_t dim) {
    Split split;
    const auto kept = static_cast<size_t>(at::maybe_wrap_dim(dim, static_cast<int64_t>(w.sizes.size())));
    for (size_t d = 0; d < w.sizes.size(); ++d) {
      (d == kept ? split.kept : split.reduced).push_back(d);
    }
    return split;
  }

  DimVector sizes(const ir::Window& w) const {
    DimVector s;
    for (const auto* dims : {&kept, &reduced}) {
      for (size_t d : *dims) {
        s.push_back(w.sizes[d]);
      }
    }
    return s;
  }
  // Of a window with the dims of the input.
  DimVector strides(const ir::Window& w) const {
    DimVector s;
    for (const auto* dims : {&kept, &reduced}) {
      for (size_t d : *dims) {
        s.push_back(w.sizes[d] == 1 ? 0 : w.strides[d]);
      }
    }
    return s;
  }
  // Of a result, with or without the reduced dims.
  DimVector result_strides(const ir::Window& w) const {
    DimVector s;
    const bool keepdim = w.sizes.size() == kept.size() + reduced.size();
    for (size_t i = 0; i < kept.size(); ++i) {
      s.push_back(w.strides[keepdim ? kept[i] : i]);
    }
    s.append(reduced.size(), 0);
    return s;
  }

 private:
  Split() = default;
};
// The dims that argument `arg` names: an int, a list, or nothing.
inline std::vector<int64_t> dims_of(const LoweringContext& c, size_t arg) {
  if (arg >= c.node.args.size() || c.node.args[arg].kind != ir::Arg::Kind::kConst) {
    return {};
  }
  const c10::IValue& v = c.node.args[arg].value;
  return v.isInt() ? std::vector<int64_t>{v.toInt()} : v.isIntList() ? v.toIntVector() : std::vector<int64_t>{};
}
inline bool reducible(const LoweringContext& c) {
  return loopable(c) && c.window(0).numel() > 0;
}
// Strides of a vector indexed by some dims of the iteration space, in their order; 0 elsewhere.
inline DimVector vector_strides(size_t rank, size_t first, c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  DimVector s(rank, 0);
  for (size_t i = 0; i < sizes.size(); ++i) {
    s[first + i] = sizes[i] == 1 ? 0 : strides[i];
  }
  return s;
}
}  // namespace torch_hpu::compiler
