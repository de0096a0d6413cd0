// kSiblingMatmuls: while weights are new or change, each product runs by itself; once all of them have been seen unchanged, one product with a
// packed copy of the weights side by side makes all results at once.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>

#include "csrc/kernels/matmul.h"
#include "csrc/kernels/packed_weights.h"
#include "csrc/kernels/tensor_over.h"

namespace torch_hpu::kernels {
namespace {

const Operand& weight(const LibraryCall& call, size_t i) {
  return call.reads[1 + 2 * i];
}
const Operand& bias(const LibraryCall& call, size_t i) {
  return call.reads[2 + 2 * i];
}

// One of the products as a call of its own.
LibraryCall product(const LibraryCall& call, size_t i) {
  LibraryCall one;
  one.primitive = Primitive::kMatmul;
  one.op = call.op;
  one.reads = {call.reads[0], weight(call, i), bias(call, i)};
  one.writes = {call.writes[i]};
  const auto factors = static_cast<int64_t>(call.scalars.size() / call.writes.size()), at = factors * static_cast<int64_t>(i);
  one.scalars.assign(call.scalars.begin() + at, call.scalars.begin() + at + factors);
  one.floats.assign(call.floats.begin() + at, call.floats.begin() + at + factors);
  return one;
}

// All products as one: weights transposed, [N, K] dense, and a bias if any product has one. Those two have no buffer.
LibraryCall together(const LibraryCall& call) {
  LibraryCall all = product(call, 0);
  all.scalars.clear();
  all.floats.clear();
  int64_t n = 0;
  bool has_bias = false;
  for (size_t i = 0; i < call.writes.size(); ++i) {
    n += call.writes[i].sizes.back();
    has_bias = has_bias || present(bias(call, i));
  }
  const int64_t k = call.reads[0].sizes.back();
  all.writes[0].sizes.back() = n;
  all.reads[1].offset = 0;
  all.reads[1].sizes = {k, n};
  all.reads[1].strides = {1, k};
  all.reads[2] = Operand{};
  if (has_bias) {
    all.reads[2] = {call.writes[0].buffer, call.writes[0].dtype, 0, ir::kNone, {n}, {1}};
  }
  return all;
}

class SiblingMatmulsStep final : public LibraryStep {
 public:
  SiblingMatmulsStep(const LibraryCall& call, const Constants& constants) : LibraryStep(call), call_(call) {
    bool constant = numel(call.writes[0]) > 0 && call.reads[0].sizes.back() > 0;
    for (size_t i = 1; i < call.reads.size(); ++i) {
      constant = constant && (!present(call.reads[i]) || constants[i]);
    }
    if (constant) {
      const LibraryCall all = together(call);
      const MatmulProblem problem = canonical(all).problem;
      kernel_ = choose_matmul(problem, true);
      if (kernel_ != nullptr && kernel_->packed_bytes() == 0) {
        kernel_ = nullptr;  // nothing to gain
      }
      if (kernel_ != nullptr) {
        columns_ = all.writes[0].sizes.back();
        has_bias_ = present(all.reads[2]);
        layout_ = layout_id("siblings " + std::to_string(call.writes.size()) + ' ' + problem.key());
      }
    }
    for (size_t i = 0; i < call.writes.size(); ++i) {
      // Packed alone, or together: never both.
      products_.push_back(
          std::make_unique<MatmulStep>(product(call, i), Constants{false, kernel_ == nullptr && constants[1 + 2 * i], false}));
    }
  }

  void execute(const Invocation& invocation) const override {
    if (const std::shared_ptr<const std::byte> packed = packed_weights(invocation)) {
      MatmulPointers p;
      p.a = address(call_.reads[0], invocation);
      p.out = address(call_.writes[0], invocation);
      p.packed_b = packed.get();
      if (has_bias_) {
        p.extras.push_back(packed.get() + bias_offset());
      }
      kernel_->run(p);
      return;
    }
    for (const auto& step : products_) {
      step->execute(invocation);
    }
  }

 private:
  // In the packed copy, behind the weights.
  size_t bias_offset() const {
    return (kernel_->packed_bytes() + 63) / 64 * 64;
  }

  // Weights and biases as kernel_ wants them, or null.
  std::shared_ptr<const std::byte> packed_weights(const Invocation& invocation) const {
    if (kernel_ == nullptr || invocation.tags == nullptr) {
      return nullptr;
    }
    for (size_t i = 0; i < call_.scalars.size(); ++i) {
      if (factor(call_, invocation, i) != 1) {
        return nullptr;
      }
    }
    c10::SmallVector<WeightSource, 6> sources;
    for (size_t i = 1; i < call_.reads.size(); ++i) {
      if (present(call_.reads[i])) {
        sources.emplace_back(call_.reads[i], invocation);
      }
    }
    const size_t bias_bytes = has_bias_ ? static_cast<size_t>(columns_) * c10::elementSize(call_.writes[0].dtype) : 0;
    return packed_weight(sources, layout_, bias_offset() + bias_bytes, [&](std::byte* to) { pack(invocation, to); });
  }

  void pack(const Invocation& invocation, std::byte* to) const {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::vector<at::Tensor> weights, biases;
    for (size_t i = 0; i < call_.writes.size(); ++i) {
      weights.push_back(tensor_over(weight(call_, i), invocation).t());
      biases.push_back(present(bias(call_, i)) ? tensor_over(bias(call_, i), invocation).reshape(-1)
                                               : at::zeros({call_.writes[i].sizes.back()}, call_.writes[i].dtype));
    }
    const at::Tensor rows = at::cat(weights).contiguous(), row = at::cat(biases).contiguous();
    kernel_->pack(rows.const_data_ptr(), to);
    if (has_bias_) {
      std::memcpy(to + bias_offset(), row.const_data_ptr(), row.nbytes());
    }
  }

  LibraryCall call_;
  std::shared_ptr<const MatmulKernel> kernel_;  // for all products; null: never together
  int64_t columns_ = 0;                         // of all results
  bool has_bias_ = false;
  uint32_t layout_ = 0;
  std::vector<std::unique_ptr<MatmulStep>> products_;
};

}  // namespace

bool sibling_matmuls_supported(const LibraryCall& call) {
  for (size_t i = 0; i < call.writes.size(); ++i) {
    if (weight(call, i).sizes.size() != 2 || !matmul_supported(product(call, i))) {
      return false;
    }
  }
  return true;
}

std::unique_ptr<Step> make_sibling_matmuls(const LibraryCall& call, const Constants& constants) {
  return std::make_unique<SiblingMatmulsStep>(call, constants);
}

}  // namespace torch_hpu::kernels
