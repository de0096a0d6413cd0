// out[indices...] = or += values, by several indices at a time.
#include <algorithm>

#include "csrc/kernels/elements.h"

namespace torch_hpu::kernels {
namespace {

class IndexPutStep final : public LibraryStep {
 public:
  explicit IndexPutStep(const LibraryCall& call) : LibraryStep(call), call_(call) {
    const Operand& out = call.writes[0];
    // The indexed dims' shape (all indices broadcast), and where it stands among the dims of the values.
    size_t first = ir::kNone, last = 0;
    for (size_t d = 0; d < out.sizes.size() && d + 1 < call.reads.size(); ++d) {
      if (present(call.reads[d + 1])) {
        first = first == ir::kNone ? d : first;
        last = d;
        indexed_.push_back(d);
        broadcast(call.reads[d + 1].sizes);
      }
    }
    const bool adjacent = last - first + 1 == indexed_.size();
    for (size_t d = 0; d < out.sizes.size(); ++d) {
      if (std::find(indexed_.begin(), indexed_.end(), d) == indexed_.end()) {
        slices_.push_back(d);
      }
    }
    const size_t before = adjacent ? first : 0;  // slice dims in front of the indexed shape
    for (size_t i = 0; i < before; ++i) {
      shape_.push_back(out.sizes[slices_[i]]);
    }
    index_begin_ = shape_.size();
    shape_.append(index_shape_.begin(), index_shape_.end());
    for (size_t i = before; i < slices_.size(); ++i) {
      shape_.push_back(out.sizes[slices_[i]]);
    }
    // Strides per dim of the walk: of out along slices, of the values (right-aligned, broadcast), of each index.
    out_strides_.assign(shape_.size(), 0);
    for (size_t i = 0; i < slices_.size(); ++i) {
      out_strides_[i < before ? i : i + index_shape_.size()] = out.strides[slices_[i]];
    }
    value_strides_ = aligned(call.reads[0].sizes, call.reads[0].strides, shape_.size());
    for (size_t d : indexed_) {
      ir::DimVector strides(shape_.size(), 0);
      const ir::DimVector inner = aligned(call.reads[d + 1].sizes, call.reads[d + 1].strides, index_shape_.size());
      std::copy(inner.begin(), inner.end(), strides.begin() + static_cast<int64_t>(index_begin_));
      index_strides_.push_back(strides);
    }
  }

 protected:
  void execute(const Invocation& invocation) const override {
    with_type(call_.writes[0].dtype, [&](auto zero) { execute_as<decltype(zero)>(invocation); });
  }

 private:
  void broadcast(const ir::DimVector& sizes) {
    while (index_shape_.size() < sizes.size()) {
      index_shape_.insert(index_shape_.begin(), 1);
    }
    const size_t missing = index_shape_.size() - sizes.size();
    for (size_t d = 0; d < sizes.size(); ++d) {
      if (sizes[d] != 1) {
        index_shape_[d + missing] = sizes[d];
      }
    }
  }

  static ir::DimVector aligned(const ir::DimVector& sizes, const ir::DimVector& strides, size_t rank) {
    ir::DimVector s(rank, 0);
    const size_t missing = rank - sizes.size();
    for (size_t d = 0; d < sizes.size(); ++d) {
      s[d + missing] = sizes[d] == 1 ? 0 : strides[d];
    }
    return s;
  }

  template <typename T>
  void execute_as(const Invocation& invocation) const {
    int64_t n = 1;
    for (int64_t s : shape_) {
      n *= s;
    }
    if (n == 0) {
      return;
    }
    const Operand& out = call_.writes[0];
    const bool accumulate = call_.ints[0] != 0;
    const T* values = reinterpret_cast<const T*>(address(call_.reads[0], invocation));
    T* to = reinterpret_cast<T*>(address(out, invocation));
    std::vector<const void*> bases;
    for (size_t d : indexed_) {
      bases.push_back(address(call_.reads[d + 1], invocation));
    }
    // One thread: two sources may name one place, and the later one counts.
    Walk walk(shape_);
    for (int64_t i = 0; i < n; ++i, walk.next()) {
      int64_t place = walk.offset(out_strides_);
      for (size_t k = 0; k < indexed_.size(); ++k) {
        const size_t d = indexed_[k];
        const int64_t size = out.sizes[d];
        const int64_t at = read_index(bases[k], call_.reads[d + 1].dtype, walk.offset(index_strides_[k]));
        TORCH_CHECK_INDEX(at >= -size && at < size, "[", call_.op, "] index ", at, " is out of bounds for dimension ", d, " with size ",
                          size);
        place += (at < 0 ? at + size : at) * out.strides[d];
      }
      const T v = values[walk.offset(value_strides_)];
      if (accumulate) {
        add(to[place], v);
      } else {
        to[place] = v;
      }
    }
  }

  LibraryCall call_;
  std::vector<size_t> indexed_, slices_;
  ir::DimVector index_shape_, shape_, out_strides_, value_strides_;
  size_t index_begin_ = 0;
  std::vector<ir::DimVector> index_strides_;
};

}  // namespace

bool index_put_supported(const LibraryCall& call) {
  const Operand& out = call.writes[0];
  bool any = false;
  for (size_t i = 1; i <= out.sizes.size() && i < call.reads.size(); ++i) {
    any = any || present(call.reads[i]);
    if (present(call.reads[i]) && !is_index(call.reads[i])) {
      return false;  // a mask selects as many elements as its data say
    }
  }
  return any && has_type(out.dtype) && call.reads[0].dtype == out.dtype;
}

std::unique_ptr<Step> make_index_put(const LibraryCall& call, const Constants&) {
  return std::make_unique<IndexPutStep>(call);
}

}  // namespace torch_hpu::kernels
