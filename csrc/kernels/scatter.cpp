// Writes to places that data names: embedding backward, scatter add, index put. Additions to one place happen in the order of the source and by one
// thread, so that sums do not depend on the number of threads: threads own destinations, not sources.
#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cstring>

#include "csrc/kernels/step.h"

namespace torch_hpu::kernels {
namespace {

// Walks a strided space in logical order.
class Walk {
 public:
  explicit Walk(c10::ArrayRef<int64_t> sizes) : sizes_(sizes.begin(), sizes.end()), at_(sizes.size(), 0) {}

  void seek(int64_t i) {
    for (size_t d = sizes_.size(); d-- > 0;) {
      at_[d] = i % sizes_[d];
      i /= sizes_[d];
    }
  }
  void next() {
    for (size_t d = sizes_.size(); d-- > 0;) {
      if (++at_[d] < sizes_[d]) {
        return;
      }
      at_[d] = 0;
    }
  }
  int64_t offset(c10::ArrayRef<int64_t> strides) const {
    int64_t o = 0;
    for (size_t d = 0; d < at_.size(); ++d) {
      o += at_[d] * strides[d];
    }
    return o;
  }
  int64_t at(size_t d) const {
    return at_[d];
  }

 private:
  std::vector<int64_t> sizes_, at_;
};

int64_t read_index(const void* base, c10::ScalarType t, int64_t i) {
  return t == c10::ScalarType::Long ? static_cast<const int64_t*>(base)[i] : static_cast<const int32_t*>(base)[i];
}

// Runs f(T{}) for the C++ type of a dtype.
template <typename F>
void with_type(c10::ScalarType t, F f) {
  switch (t) {
    case c10::ScalarType::Double:
      return f(double{});
    case c10::ScalarType::BFloat16:
      return f(c10::BFloat16{});
    case c10::ScalarType::Half:
      return f(c10::Half{});
    case c10::ScalarType::Long:
      return f(int64_t{});
    case c10::ScalarType::Int:
      return f(int32_t{});
    case c10::ScalarType::Short:
      return f(int16_t{});
    case c10::ScalarType::Char:
      return f(int8_t{});
    case c10::ScalarType::Byte:
      return f(uint8_t{});
    case c10::ScalarType::Bool:
      return f(bool{});
    default:
      return f(float{});
  }
}

bool has_type(c10::ScalarType t) {
  return c10::isIntegralType(t, true)
             ? t != c10::ScalarType::UInt16 && t != c10::ScalarType::UInt32 && t != c10::ScalarType::UInt64
             : t == c10::ScalarType::Float || t == c10::ScalarType::Double || t == c10::ScalarType::BFloat16 || t == c10::ScalarType::Half;
}

template <typename T>
void add(T& to, T value) {
  if constexpr (std::is_same_v<T, bool>) {
    to = to || value;
  } else {
    to = static_cast<T>(to + value);
  }
}

class EmbeddingBackwardStep final : public LibraryStep {
 public:
  explicit EmbeddingBackwardStep(const LibraryCall& call) : LibraryStep(call), call_(call) {}

 protected:
  void execute(const Invocation& invocation) const override {
    with_type(call_.writes[0].dtype, [&](auto zero) { execute_as<decltype(zero)>(invocation); });
  }

 private:
  template <typename T>
  void execute_as(const Invocation& invocation) const {
    const Operand &grad = call_.reads[0], &index = call_.reads[1], &out = call_.writes[0];
    const int64_t rows = out.sizes[0], width = out.sizes[1], n = numel(index), padding = call_.ints[0];
    if (rows * width == 0) {
      return;
    }
    // Rows of grad by the row of out they go to, in order (a counting sort).
    std::vector<int64_t> first(static_cast<size_t>(rows) + 1, 0), order(static_cast<size_t>(n)), row_of(static_cast<size_t>(n));
    const void* indices = n > 0 ? address(index, invocation) : nullptr;
    Walk walk(index.sizes);
    for (int64_t i = 0; i < n; ++i, walk.next()) {
      const int64_t r = read_index(indices, index.dtype, walk.offset(index.strides));
      TORCH_CHECK_INDEX(r >= 0 && r < rows, "[embedding_dense_backward] index ", r, " is out of range for ", rows, " rows");
      row_of[static_cast<size_t>(i)] = r;
      ++first[static_cast<size_t>(r) + 1];
    }
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
      first[r + 1] += first[r];
    }
    std::vector<int64_t> place(first.begin(), first.end() - 1);
    for (int64_t i = 0; i < n; ++i) {
      order[static_cast<size_t>(place[static_cast<size_t>(row_of[static_cast<size_t>(i)])]++)] = i;
    }
    const T* from = n > 0 ? reinterpret_cast<const T*>(address(grad, invocation)) : nullptr;
    T* to = reinterpret_cast<T*>(address(out, invocation));
    const c10::ArrayRef<int64_t> outer(grad.strides.data(), grad.strides.size() - 1);
    const int64_t step = grad.strides.back();
    using Acc = std::conditional_t<std::is_same_v<T, double>, double, float>;
    at::parallel_for(0, rows, std::max<int64_t>(1, 16384 / width), [&](int64_t begin, int64_t end) {
      std::vector<Acc> sum(static_cast<size_t>(width));
      Walk at(c10::ArrayRef<int64_t>(grad.sizes.data(), grad.sizes.size() - 1));
      for (int64_t r = begin; r < end; ++r) {
        const int64_t b = first[static_cast<size_t>(r)], e = r == padding ? b : first[static_cast<size_t>(r) + 1];
        T* row = to + r * out.strides[0];
        if (b == e) {
          for (int64_t j = 0; j < width; ++j) {
            row[j * out.strides[1]] = T(0);
          }
          continue;
        }
        std::fill(sum.begin(), sum.end(), Acc(0));
        for (int64_t i = b; i < e; ++i) {
          at.seek(order[static_cast<size_t>(i)]);
          const T* source = from + at.offset(outer);
          for (int64_t j = 0; j < width; ++j) {
            sum[static_cast<size_t>(j)] += static_cast<Acc>(source[j * step]);
          }
        }
        const Acc scale = call_.ints[1] != 0 ? Acc(1) / static_cast<Acc>(e - b) : Acc(1);
        for (int64_t j = 0; j < width; ++j) {
          row[j * out.strides[1]] = static_cast<T>(sum[static_cast<size_t>(j)] * scale);
        }
      }
    });
  }

  LibraryCall call_;
};

class ScatterAddStep final : public LibraryStep {
 public:
  explicit ScatterAddStep(const LibraryCall& call) : LibraryStep(call), call_(call) {}

 protected:
  void execute(const Invocation& invocation) const override {
    with_type(call_.writes[0].dtype, [&](auto zero) { execute_as<decltype(zero)>(invocation); });
  }

 private:
  template <typename T>
  void execute_as(const Invocation& invocation) const {
    const Operand &index = call_.reads[0], &src = call_.reads[1], &out = call_.writes[0];
    if (numel(index) == 0) {
      return;
    }
    const auto dim = static_cast<size_t>(call_.ints[0]);
    const auto* indices = reinterpret_cast<const int64_t*>(address(index, invocation));
    const T* from = reinterpret_cast<const T*>(address(src, invocation));
    T* to = reinterpret_cast<T*>(address(out, invocation));
    // A task owns one line along dim.
    ir::DimVector lines = index.sizes;
    const int64_t length = lines[dim], limit = out.sizes[dim];
    lines[dim] = 1;
    const int64_t n = numel(index) / length;
    at::parallel_for(0, n, std::max<int64_t>(1, 8192 / length), [&](int64_t begin, int64_t end) {
      Walk walk(lines);
      walk.seek(begin);
      for (int64_t line = begin; line < end; ++line, walk.next()) {
        const int64_t* i = indices + walk.offset(index.strides);
        const T* s = from + walk.offset(src.strides);
        T* o = to + walk.offset(out.strides);
        for (int64_t k = 0; k < length; ++k) {
          const int64_t at = i[k * index.strides[dim]];
          TORCH_CHECK_INDEX(at >= 0 && at < limit, "[scatter_add] index ", at, " is out of bounds for dimension ", dim, " with size ",
                            limit);
          add(o[at * out.strides[dim]], s[k * src.strides[dim]]);
        }
      }
    });
  }

  LibraryCall call_;
};

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
        TORCH_CHECK_INDEX(at >= -size && at < size, "[index_put] index ", at, " is out of bounds for dimension ", d, " with size ", size);
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

bool is_index(const Operand& o) {
  return o.dtype == c10::ScalarType::Long || o.dtype == c10::ScalarType::Int;
}

}  // namespace

bool scatter_supported(const LibraryCall& call) {
  const Operand& out = call.writes[0];
  switch (call.primitive) {
    case Primitive::kEmbeddingBackward:
      return c10::isFloatingType(out.dtype) && has_type(out.dtype) && call.reads[0].dtype == out.dtype && is_index(call.reads[1]) &&
             !call.reads[0].sizes.empty() && out.sizes.size() == 2;
    case Primitive::kScatterAdd:
      return has_type(out.dtype) && call.reads[0].dtype == c10::ScalarType::Long && call.reads[1].dtype == out.dtype &&
             !out.sizes.empty() && call.reads[0].sizes.size() == out.sizes.size() && call.reads[1].sizes.size() == out.sizes.size();
    default: {
      bool any = false;
      for (size_t i = 1; i <= out.sizes.size() && i < call.reads.size(); ++i) {
        any = any || present(call.reads[i]);
        if (present(call.reads[i]) && !is_index(call.reads[i])) {
          return false;  // a mask selects as many elements as its data say
        }
      }
      return any && has_type(out.dtype) && call.reads[0].dtype == out.dtype;
    }
  }
}

std::unique_ptr<Step> make_scatter(const LibraryCall& call, const Constants&) {
  switch (call.primitive) {
    case Primitive::kEmbeddingBackward:
      return std::make_unique<EmbeddingBackwardStep>(call);
    case Primitive::kScatterAdd:
      return std::make_unique<ScatterAddStep>(call);
    default:
      return std::make_unique<IndexPutStep>(call);
  }
}

}  // namespace torch_hpu::kernels
