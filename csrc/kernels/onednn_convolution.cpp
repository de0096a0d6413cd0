// Convolutions and their backwards: a step runs the plan (layouts inside the primitive, algorithm) that was fastest when it was timed on this machine.
#include <ATen/Parallel.h>

#include "csrc/kernels/onednn_plan.h"
#include "csrc/kernels/rows.h"
#include "csrc/kernels/shared.h"
#include "csrc/kernels/timing.h"
#include "csrc/support/log.h"

namespace torch_hpu::kernels {
namespace {

using onednn::Convolution;
using onednn::Method;
using onednn::Plan;

constexpr Method kMethods[] = {Method::kAny, Method::kChannelsLast, Method::kAsInMemory, Method::kProduct,
                               Method::kWinograd};  // that are timed
constexpr double kTimedFlops = 2e10;                // beyond, oneDNN's own choice
// What a run of a plan is charged that needs oneDNN's sgemm, whose kernels every process has to generate anew: 30 ms, over 150 runs.
constexpr double kSgemmSeconds = 30e-3 / 150;

std::unique_ptr<Plan> make_plan(const Convolution& c, Method method) {
  try {
    return std::make_unique<Plan>(c, method);
  } catch (const dnnl::error&) {
    return nullptr;  // no such implementation
  }
}

// Descriptors in the order of Plan::run.
std::vector<dnnl::memory::desc> descs_of(const Convolution& c) {
  std::vector<dnnl::memory::desc> descs{c.src.desc, c.weights.desc, c.dst.desc};
  if (!c.bias.desc.is_zero()) {
    descs.push_back(c.bias.desc);
  }
  descs.insert(descs.end(), c.operands.begin(), c.operands.end());
  return descs;
}

size_t fastest(const Convolution& c, c10::ScalarType dtype, bool constant_weights) {
  std::vector<AlignedBytes> memory;
  c10::SmallVector<const void*, 8> addresses;
  for (const dnnl::memory::desc& d : descs_of(c)) {
    memory.push_back(noise(d.get_size(), dtype));
    addresses.push_back(memory.back().get());
  }
  onednn::prepare_sgemm(/*wait=*/true);  // nothing else may run while plans are timed
  std::vector<size_t> candidates;
  std::vector<std::unique_ptr<Plan>> plans;
  std::vector<std::function<void()>> runs;
  for (size_t i = 0; i < std::size(kMethods); ++i) {
    auto plan = kMethods[i] == Method::kWinograd && !constant_weights ? nullptr : make_plan(c, kMethods[i]);
    if (plan == nullptr || (plan->reference() && !plans.empty())) {
      continue;
    }
    const std::byte* packed = nullptr;
    if (constant_weights && plan->packed_bytes() > 0) {
      memory.push_back(aligned_bytes(plan->packed_bytes()));
      plan->pack(addresses[1], memory.back().get());
      packed = memory.back().get();
    }
    runs.emplace_back([plan = plan.get(), packed, &addresses] { plan->run(addresses, packed); });
    candidates.push_back(i);
    plans.push_back(std::move(plan));
  }
  const std::vector<double> seconds = fastest_runs(runs, c.flops() > 5e8 ? 1 : 3);
  size_t winner = std::size(kMethods);
  double best = 1e9;
  for (size_t k = 0; k < candidates.size(); ++k) {
    TORCH_HPU_LOG(2, "convolution of " << c.flops() * 1e-6 << " MFLOP, layout " << candidates[k] << ": " << seconds[k] * 1e6 << " us");
    const double t = plans[k]->needs_sgemm() ? seconds[k] + kSgemmSeconds : seconds[k];
    if (t < best) {
      best = t;
      winner = candidates[k];
    }
  }
  return winner;
}

// A plan, and by which method.
struct Chosen {
  Method method;
  std::unique_ptr<Plan> plan;
};

std::unique_ptr<Chosen> choose(const std::string& key, const Convolution& c, const LibraryCall& call, bool constant_weights) {
  const auto by = [&](Method method) { return std::make_unique<Chosen>(Chosen{method, make_plan(c, method)}); };
  const auto gain = constant_weights ? onednn::winograd_gain(c) : Winograd::Gain::kNone;
  if (gain == Winograd::Gain::kMuch) {
    return by(Method::kWinograd);
  }
  const auto is_channels_last = [](const dnnl::memory::desc& d) { return d == onednn::channels_last_of(d); };
  if (gain == Winograd::Gain::kNone && is_channels_last(c.src.desc) && is_channels_last(c.dst.desc)) {
    if (auto chosen = by(Method::kChannelsLast); chosen->plan != nullptr) {
      return chosen;  // what oneDNN likes best: nothing to time
    }
  }
  if (c.flops() > kTimedFlops) {
    return by(kMethods[0]);
  }
  static auto* choices = new Choices;
  const size_t winner = choices->get(key, [&] { return fastest(c, call.writes[0].dtype, constant_weights); });
  TORCH_CHECK(winner < std::size(kMethods), "[", name(call.primitive), "] oneDNN has no implementation for ", to_string(call));
  return by(kMethods[winner]);
}

// The call without its buffers: calls of the same key can share a plan.
std::string key_of(LibraryCall call, bool constant_weights) {
  auto forget = [](std::vector<Operand>& operands) {
    for (Operand& o : operands) {
      if (present(o)) {
        o.buffer = 0;
      }
      o.offset = 0;
      o.dynamic = ir::kNone;
    }
  };
  forget(call.reads);
  forget(call.writes);
  std::string key = to_string(call) + (constant_weights ? " constant" : "");
  for (const PostOp& p : call.post_ops) {
    key.append(reinterpret_cast<const char*>(&p.value), sizeof p.value);  // the text rounds it
  }
  return key;
}

// Whether the call ends in a relu that can run over its output as one row of floats, see append_post_op.
bool ends_in_relu(const LibraryCall& call) {
  const Operand& out = call.writes[0];
  int64_t last = 0;
  for (size_t d = 0; d < out.sizes.size(); ++d) {
    last += (out.sizes[d] - 1) * out.strides[d];
  }
  return !call.post_ops.empty() && call.post_ops.back().kind == PostOp::Kind::kRelu && out.dtype == c10::ScalarType::Float &&
         last + 1 == numel(out);
}

class ConvolutionStep final : public LibraryStep {
 public:
  ConvolutionStep(const LibraryCall& whole, const Constants& constants)
      : LibraryStep(whole), call_(whole), empty_(numel(whole.writes[0]) == 0), relu_(ends_in_relu(whole)) {
    if (relu_) {
      call_.post_ops.pop_back();
    }
    const LibraryCall& call = call_;
    if (empty_) {
      return;
    }
    const Convolution c = onednn::describe_convolution(call);
    const bool constant = call.primitive != Primitive::kConvolutionBackwardWeight && constants.size() > 1 && constants[1];
    const std::string key = key_of(call, constant);
    static auto* known = new Shared<Chosen>;
    chosen_ = known->get(key, [&] { return choose(key, c, call, constant); });
    TORCH_INTERNAL_ASSERT(chosen_->plan != nullptr, "no plan by the method that was chosen for ", key);
    if (constant && chosen_->plan->packed_bytes() > 0) {
      packed_layout_ = layout_id(key + std::to_string(static_cast<int>(chosen_->method)));
      may_pack_ = true;
    }
  }

 protected:
  void execute(const Invocation& invocation) const override {
    if (empty_) {
      return;
    }
    const bool forward = call_.primitive == Primitive::kConvolution;
    c10::SmallVector<const void*, 8> addresses;
    const void *first = address(call_.reads[0], invocation), *second = address(call_.reads[1], invocation),
               *out = address(call_.writes[0], invocation);
    switch (call_.primitive) {
      case Primitive::kConvolution:
        addresses = {first, second, out};
        break;
      case Primitive::kConvolutionBackwardInput:
        addresses = {out, second, first};
        break;
      default:
        addresses = {second, out, first};
    }
    if (forward && present(call_.reads[2])) {
      addresses.push_back(address(call_.reads[2], invocation));
    }
    for (const PostOp& p : call_.post_ops) {
      if (reads_tensor(p)) {
        addresses.push_back(address(call_.reads[p.operand], invocation));
      }
    }
    std::shared_ptr<const std::byte> packed;  // keeps the copy during the run
    if (may_pack_ && invocation.tags != nullptr) {
      packed = packed_weight(WeightSource(call_.reads[1], invocation), packed_layout_, chosen_->plan->packed_bytes(),
                             [&](std::byte* to) { chosen_->plan->pack(second, to); });
    }
    chosen_->plan->run(addresses, packed.get());
    if (relu_) {
      auto* to = reinterpret_cast<float*>(address(call_.writes[0], invocation));
      at::parallel_for(0, numel(call_.writes[0]), 32768, [&](int64_t begin, int64_t end) { relu_row(to + begin, end - begin); });
    }
  }

 private:
  LibraryCall call_;
  bool empty_;
  bool relu_;  // runs after the plan
  std::shared_ptr<const Chosen> chosen_;
  bool may_pack_ = false;
  uint32_t packed_layout_ = 0;
};

}  // namespace

bool convolution_supported(const LibraryCall& call) {
  const int64_t n = call.ints.at(0);
  const c10::ScalarType t = call.writes[0].dtype;
  if (n < 1 || n > 3 || !onednn::has_dtype(t)) {
    return false;
  }
  const bool empty = numel(call.writes[0]) == 0;
  for (size_t i = 0; i < 2; ++i) {
    const Operand& o = call.reads[i];
    if (o.dtype != t || static_cast<int64_t>(o.sizes.size()) != n + 2 || (numel(o) == 0 && !empty)) {
      return false;
    }
  }
  if (call.primitive == Primitive::kConvolution && present(call.reads[2]) && call.reads[2].dtype != t &&
      call.reads[2].dtype != c10::ScalarType::Float) {
    return false;
  }
  return empty || make_plan(onednn::describe_convolution(call), Method::kAny) != nullptr;
}

bool convolution_can_fuse(const LibraryCall& call, const PostOp& post_op, const Operand& operand) {
  if (call.post_ops.size() >= 8) {
    return false;
  }
  if (!reads_tensor(post_op)) {
    return true;
  }
  // Of the shape of out, or one value per channel, side by side: oneDNN does not look at the strides of these.
  const Operand& out = call.writes[0];
  const size_t rank = out.sizes.size();
  if (operand.buffer == out.buffer || operand.dtype != out.dtype || operand.sizes.size() > rank) {
    return false;
  }
  if (operand.sizes == out.sizes) {
    return true;
  }
  if (!dense(operand)) {
    return false;
  }
  const size_t missing = rank - operand.sizes.size();
  for (size_t d = missing; d < rank; ++d) {
    if (operand.sizes[d - missing] != 1 && (d != 1 || operand.sizes[d - missing] != out.sizes[1])) {
      return false;
    }
  }
  return true;
}

std::unique_ptr<Step> make_convolution(const LibraryCall& call, const Constants& constants) {
  return std::make_unique<ConvolutionStep>(call, constants);
}

}  // namespace torch_hpu::kernels
