// Scatters along one dim: out[.., index, ..] op= src. A task owns some neighbouring lines of out along that dim and walks the source in order, so
// that results do not depend on the number of threads.
#include <ATen/Parallel.h>

#include <algorithm>
#include <limits>

#include "csrc/kernels/elements.h"

namespace torch_hpu::kernels {
namespace {

// What an element is before anything was combined into it.
template <typename A>
A identity(ScatterOp op) {
  using Limits = std::numeric_limits<A>;
  switch (op) {
    case ScatterOp::kMul:
      return A(1);
    case ScatterOp::kMin:
      return Limits::has_infinity ? Limits::infinity() : Limits::max();
    case ScatterOp::kMax:
      return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
    default:
      return A(0);
  }
}

template <typename A>
void combine(ScatterOp op, A& to, A value) {
  switch (op) {
    case ScatterOp::kSet:
      to = value;
      break;
    case ScatterOp::kAdd:
    case ScatterOp::kMean:
      add(to, value);
      break;
    case ScatterOp::kMul:
      to = static_cast<A>(to * value);
      break;
    case ScatterOp::kMin:
      to = value < to || value != value ? value : to;
      break;
    case ScatterOp::kMax:
      to = value > to || value != value ? value : to;
      break;
  }
}

template <typename A>
A mean(A sum, int64_t n) {
  if constexpr (std::is_integral_v<A> && !std::is_same_v<A, bool>) {  // rounded down
    const auto count = static_cast<A>(n);
    return static_cast<A>(sum / count - (sum % count != 0 && (sum < 0) != (count < 0) ? 1 : 0));
  } else {
    return static_cast<A>(sum / static_cast<A>(n));
  }
}

// Lines of a tensor along the scattered dim, `width` of them side by side.
template <typename T>
struct Lines {
  T* data;
  int64_t along, across;  // strides
  T& at(int64_t k, int64_t j) const {
    return data[k * along + j * across];
  }
};

class ScatterStep final : public LibraryStep {
 public:
  explicit ScatterStep(const LibraryCall& call)
      : LibraryStep(call),
        call_(call),
        dim_(static_cast<size_t>(call.ints[0])),
        op_(static_cast<ScatterOp>(call.ints[1])),
        include_self_(call.ints[2] != 0),
        wraps_(call.ints[3] != 0),
        length_(call.reads[0].sizes[dim_]),
        limit_(call.writes[0].sizes[dim_]) {
    lines_ = call.reads[0].sizes;
    lines_[dim_] = 1;
    if (dim_ + 1 < lines_.size()) {
      width_ = lines_.back();
      lines_.back() = 1;
    }
  }

 protected:
  void execute(const Invocation& invocation) const override {
    if (numel(call_.reads[0]) != 0) {
      with_type(call_.writes[0].dtype, [&](auto zero) { execute_as<decltype(zero)>(invocation); });
    }
  }

 private:
  int64_t across(const Operand& o) const {
    return dim_ + 1 < lines_.size() ? o.strides.back() : 0;
  }

  template <typename T>
  void execute_as(const Invocation& invocation) const {
    const Operand &index = call_.reads[0], &src = call_.reads[1], &out = call_.writes[0];
    const void* indices = address(index, invocation);
    const T* from = reinterpret_cast<const T*>(address(src, invocation));
    T* to = reinterpret_cast<T*>(address(out, invocation));
    const int64_t block = std::clamp<int64_t>(width_ / at::get_num_threads(), 16, 512), blocks = (width_ + block - 1) / block;
    int64_t outer = 1;
    for (int64_t s : lines_) {
      outer *= s;
    }
    at::parallel_for(0, outer * blocks, std::max<int64_t>(1, 8192 / (length_ * std::min(block, width_))), [&](int64_t begin, int64_t end) {
      Walk walk(lines_);
      std::vector<int64_t> places;
      for (int64_t task = begin; task < end; ++task) {
        walk.seek(task / blocks);
        const int64_t first = task % blocks * block, width = std::min(block, width_ - first);
        read_places(indices, walk.offset(index.strides) + first * across(index), width, places);
        scatter<T>({const_cast<T*>(from) + walk.offset(src.strides) + first * across(src), src.strides[dim_], across(src)},
                   {to + walk.offset(out.strides) + first * across(out), out.strides[dim_], across(out)}, width, places);
      }
    });
  }

  // The checked indices of a task: one per source line, or per source element where lines differ in their indices.
  void read_places(const void* indices, int64_t begin, int64_t width, std::vector<int64_t>& places) const {
    const Operand& index = call_.reads[0];
    const int64_t n = across(index) == 0 ? 1 : width;
    places.resize(static_cast<size_t>(length_ * n));
    for (int64_t k = 0; k < length_; ++k) {
      for (int64_t j = 0; j < n; ++j) {
        const int64_t at = read_index(indices, index.dtype, begin + k * index.strides[dim_] + j * across(index));
        TORCH_CHECK_INDEX(at >= (wraps_ ? -limit_ : 0) && at < limit_, "[", call_.op, "] index ", at, " is out of bounds for dimension ",
                          dim_, " with size ", limit_);
        places[static_cast<size_t>(k * n + j)] = at < 0 ? at + limit_ : at;
      }
    }
  }

  template <typename T>
  void scatter(Lines<T> from, Lines<T> to, int64_t width, const std::vector<int64_t>& places) const {
    using A = Accumulator<T>;
    if constexpr (!std::is_same_v<A, T>) {
      if (op_ != ScatterOp::kSet) {  // rounded once
        std::vector<A> wide(static_cast<size_t>(limit_ * width));
        const Lines<A> sums{wide.data(), width, 1};
        for (int64_t k = 0; k < limit_; ++k) {
          for (int64_t j = 0; j < width; ++j) {
            sums.at(k, j) = static_cast<A>(to.at(k, j));
          }
        }
        accumulate(from, sums, width, places);
        for (int64_t k = 0; k < limit_; ++k) {
          for (int64_t j = 0; j < width; ++j) {
            to.at(k, j) = static_cast<T>(sums.at(k, j));
          }
        }
        return;
      }
    }
    accumulate(from, to, width, places);
  }

  template <typename T, typename A>
  void accumulate(Lines<T> from, Lines<A> to, int64_t width, const std::vector<int64_t>& places) const {
    const bool shared = places.size() != static_cast<size_t>(length_ * width);  // one index for all lines
    auto each = [&](auto f) {
      for (int64_t k = 0; k < length_; ++k) {
        const int64_t* at = places.data() + (shared ? k : k * width);
        for (int64_t j = 0; j < width; ++j) {
          f(k, j, at[shared ? 0 : j]);
        }
      }
    };
    if (!include_self_) {
      each([&](int64_t, int64_t j, int64_t at) { to.at(at, j) = identity<A>(op_); });
    }
    switch (op_) {  // the common ones as loops of their own
      case ScatterOp::kSet:
        return each([&](int64_t k, int64_t j, int64_t at) { to.at(at, j) = static_cast<A>(from.at(k, j)); });
      case ScatterOp::kAdd:
        return each([&](int64_t k, int64_t j, int64_t at) { add(to.at(at, j), static_cast<A>(from.at(k, j))); });
      default:
        each([&](int64_t k, int64_t j, int64_t at) { combine(op_, to.at(at, j), static_cast<A>(from.at(k, j))); });
    }
    if (op_ == ScatterOp::kMean) {
      std::vector<int64_t> counts(static_cast<size_t>(limit_ * width), include_self_ ? 1 : 0);
      each([&](int64_t, int64_t j, int64_t at) { ++counts[static_cast<size_t>(at * width + j)]; });
      for (int64_t k = 0; k < limit_; ++k) {
        for (int64_t j = 0; j < width; ++j) {
          if (const int64_t n = counts[static_cast<size_t>(k * width + j)]; n > 1) {
            to.at(k, j) = mean(to.at(k, j), n);
          }
        }
      }
    }
  }

  LibraryCall call_;
  size_t dim_;
  ScatterOp op_;
  bool include_self_, wraps_;
  int64_t length_, limit_;  // of the index and of out, along dim
  ir::DimVector lines_;     // the tasks' space: all dims but dim and the one across
  int64_t width_ = 1;       // lines side by side: the last dim, when that is not the scattered one
};

}  // namespace

bool scatter_supported(const LibraryCall& call) {
  const Operand& out = call.writes[0];
  return has_type(out.dtype) && is_index(call.reads[0]) && call.reads[1].dtype == out.dtype && !out.sizes.empty() &&
         call.reads[0].sizes.size() == out.sizes.size() && call.reads[1].sizes.size() == out.sizes.size();
}

std::unique_ptr<Step> make_scatter(const LibraryCall& call, const Constants&) {
  return std::make_unique<ScatterStep>(call);
}

}  // namespace torch_hpu::kernels
