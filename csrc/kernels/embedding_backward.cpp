// Gradient of an embedding: rows of grad_output added to the rows they were copied from. Each row of the result is summed by one thread, in the
// order of the source, so that sums do not depend on the number of threads.
#include <ATen/Parallel.h>

#include <algorithm>

#include "csrc/kernels/elements.h"

namespace torch_hpu::kernels {
namespace {

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
      TORCH_CHECK_INDEX(r >= 0 && r < rows, "[", call_.op, "] index ", r, " is out of range for ", rows, " rows");
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

}  // namespace

bool embedding_backward_supported(const LibraryCall& call) {
  const Operand& out = call.writes[0];
  return c10::isFloatingType(out.dtype) && has_type(out.dtype) && call.reads[0].dtype == out.dtype && is_index(call.reads[1]) &&
         !call.reads[0].sizes.empty() && out.sizes.size() == 2;
}

std::unique_ptr<Step> make_embedding_backward(const LibraryCall& call, const Constants&) {
  return std::make_unique<EmbeddingBackwardStep>(call);
}

}  // namespace torch_hpu::kernels
