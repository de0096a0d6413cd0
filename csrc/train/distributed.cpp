#include "csrc/train/distributed.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <unordered_set>
#include <utility>

#include "csrc/train/step_graph.h"

namespace torch_hpu::train {

bool join_process_group(int64_t timeout_seconds) {
  if (!is_distributed()) {
    const char* world = std::getenv("WORLD_SIZE");
    if (world == nullptr || std::string(world) == "1" || *world == '\0') {
      return false;
    }
    init_process_group_from_env(std::chrono::seconds(timeout_seconds));
  }
  return world_size() > 1;
}

void broadcast_module(const std::vector<at::Tensor>& parameters, const std::vector<at::Tensor>& buffers) {
  const c10::AutoGradMode no_grad(false);
  for (const auto* tensors : {&parameters, &buffers}) {
    for (const at::Tensor& t : *tensors) {
      if (t.defined()) {
        broadcast(t.detach());
      }
    }
  }
}

struct GradientReducer::Bucket {
  std::vector<at::Tensor> parameters;
  size_t missing = 0;            // gradients of this step that are not there yet
  at::Tensor flat;               // of this step, once it has gone off
  std::vector<at::Tensor> sent;  // whose gradients are in it: parameters, and in the first step those that turn out to have none
  Pending sum;
};

struct GradientReducer::State {
  std::vector<Bucket> buckets;
  bool keep_gradients = false;
  bool agreed = false;       // on the parameters that have gradients: only these are in buckets
  bool overlapping = false;  // between start() and finish()
  at::Tensor items, loss;    // of this step
  size_t next = 0;           // the bucket that goes off next: all ranks have to keep to one order
  Pending last;              // of the step before

  void make_buckets(const std::vector<at::Tensor>& parameters, int64_t bytes);
  void launch(Bucket& bucket);
  void arrived(size_t bucket);
};

void GradientReducer::State::make_buckets(const std::vector<at::Tensor>& parameters, int64_t bytes) {
  int64_t filled = 0;
  buckets.clear();
  for (auto p = parameters.rbegin(); p != parameters.rend(); ++p) {
    const auto nbytes = static_cast<int64_t>(p->nbytes());
    if (buckets.empty() || filled + nbytes > bytes || buckets.back().parameters.front().scalar_type() != p->scalar_type()) {
      buckets.emplace_back();
      filled = 0;
    }
    buckets.back().parameters.push_back(*p);
    filled += nbytes;
  }
  if (buckets.empty() || buckets.back().parameters.front().scalar_type() != at::kFloat) {
    buckets.emplace_back();  // for the number of items and the loss
  }
}

void GradientReducer::State::launch(Bucket& bucket) {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> parts;
  for (const at::Tensor& p : bucket.parameters) {
    const at::Tensor& gradient = p.grad();
    TORCH_CHECK(!gradient.defined() || gradient.layout() == at::kStrided, "[GaudiTrainer] gradients of layout ", gradient.layout(),
                " cannot be summed over several processes");
    parts.push_back(gradient.defined() ? gradient.reshape({-1}) : at::zeros({p.numel()}, p.options()));
  }
  bucket.sent = bucket.parameters;
  if (&bucket == &buckets.back()) {
    parts.push_back(items.reshape({1}));
    parts.push_back(loss.reshape({1}));
  }
  if (parts.empty()) {
    return;
  }
  bucket.flat = at::cat(parts);
  bucket.sum = all_reduce_async(bucket.flat);
}

void GradientReducer::State::arrived(size_t number) {
  if (!overlapping) {
    return;
  }
  if (buckets[number].missing > 0) {
    --buckets[number].missing;
  }
  while (next < buckets.size() && buckets[next].missing == 0) {
    launch(buckets[next++]);
  }
}

namespace {

std::vector<at::Tensor> without_repeats(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> once;
  std::unordered_set<const c10::TensorImpl*> seen;  // tied weights have several names
  for (const at::Tensor& p : parameters) {
    if (p.requires_grad() && seen.insert(p.unsafeGetTensorImpl()).second) {
      once.push_back(p);
    }
  }
  return once;
}

// Calls a function when the gradient of a parameter has been added up.
class Hook final : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit Hook(std::function<void()> call) : call_(std::move(call)) {}
  void operator()(const at::Tensor&) override {
    call_();
  }

 private:
  std::function<void()> call_;
};

}  // namespace

GradientReducer::GradientReducer(const std::vector<at::Tensor>& parameters, int64_t bucket_bytes, bool keep_gradients)
    : state_(std::make_shared<State>()) {
  state_->keep_gradients = keep_gradients;
  state_->make_buckets(without_repeats(parameters), bucket_bytes);
  for (size_t b = 0; b < state_->buckets.size(); ++b) {
    for (const at::Tensor& p : state_->buckets[b].parameters) {
      auto arrived = [state = std::weak_ptr<State>(state_), b] {
        if (const auto alive = state.lock()) {
          alive->arrived(b);
        }
      };
      torch::autograd::impl::set_post_acc_grad_hooks(p, std::make_unique<Hook>(std::move(arrived)));
    }
  }
}

GradientReducer::~GradientReducer() {
  for (const Bucket& bucket : state_->buckets) {
    for (const at::Tensor& p : bucket.parameters) {
      torch::autograd::impl::set_post_acc_grad_hooks(p, nullptr);
    }
  }
}

void GradientReducer::start(bool overlap, const at::Tensor& items, const at::Tensor& loss) {
  state_->last.wait();
  state_->next = 0;
  for (Bucket& bucket : state_->buckets) {
    bucket.missing = bucket.parameters.size();
    bucket.flat = at::Tensor();
  }
  state_->items = items;
  state_->loss = loss;
  state_->overlapping = overlap;
}

std::vector<at::Tensor> GradientReducer::finish() {
  const c10::AutoGradMode no_grad(false);
  State& s = *state_;
  s.overlapping = false;
  for (; s.next < s.buckets.size(); ++s.next) {
    s.launch(s.buckets[s.next]);
  }
  if (!s.agreed) {
    // A parameter that no rank uses gets no gradient, as on one process. Hooks stay where they are: they ask for the bucket that they knew.
    for (Bucket& bucket : s.buckets) {
      if (bucket.parameters.empty()) {
        continue;
      }
      std::vector<int64_t> has;
      for (const at::Tensor& p : bucket.parameters) {
        has.push_back(has_gradient(p, s.keep_gradients) ? 1 : 0);
      }
      const at::Tensor used = at::tensor(has, at::kLong);
      all_reduce(used, Reduce::kMax);
      std::vector<at::Tensor> kept;
      for (size_t i = 0; i < has.size(); ++i) {
        const at::Tensor& p = bucket.parameters[i];
        if (used.const_data_ptr<int64_t>()[i] != 0) {
          kept.push_back(p);
        } else {
          p.mutable_grad().reset();
          torch::autograd::impl::set_post_acc_grad_hooks(p, nullptr);
        }
      }
      bucket.parameters = std::move(kept);
    }
    s.agreed = true;
  }
  std::vector<at::Tensor> sums;
  for (Bucket& bucket : s.buckets) {
    if (bucket.flat.defined()) {
      bucket.sum.wait();
      sums.push_back(std::exchange(bucket.flat, at::Tensor()));
    }
  }
  s.last = s.buckets.back().sum;
  return sums;
}

at::Tensor GradientReducer::take(const std::vector<at::Tensor>& sums) {
  const c10::AutoGradMode no_grad(false);
  const State& s = *state_;
  const int64_t end = sums.back().numel();
  const at::Tensor scale = sums.back()[end - 2].clamp_min(1).reciprocal(), loss = sums.back()[end - 1] * scale;
  auto sum = sums.begin();
  for (const Bucket& bucket : s.buckets) {
    if (bucket.sent.empty()) {
      continue;
    }
    const at::Tensor mean = *sum++ * scale;
    auto kept = bucket.parameters.begin();
    int64_t begin = 0;
    for (const at::Tensor& p : bucket.sent) {
      const at::Tensor gradient = mean.narrow(0, begin, p.numel()).view(p.sizes());
      begin += p.numel();
      if (kept == bucket.parameters.end() || !kept->is_same(p)) {
        continue;
      }
      ++kept;
      if (s.keep_gradients && p.grad().defined()) {
        p.mutable_grad().copy_(gradient);
      } else {
        p.mutable_grad() = gradient;
      }
    }
  }
  return loss;
}

bool has_gradient(const at::Tensor& parameter, bool kept) {
  const at::Tensor& gradient = parameter.grad();
  return gradient.defined() && !(kept && gradient._version() == 0);
}

at::Tensor empty_gradient(const at::Tensor& parameter) {
  return device_zeros_like(parameter).variable_data();  // at version 0; backward passes add in place
}

RankShare::RankShare(int64_t size, int64_t rank, int64_t world_size) : size_(size), rank_(rank), world_size_(world_size) {}

int64_t RankShare::size() const {
  return (size_ - rank_ + world_size_ - 1) / world_size_;
}

std::vector<int64_t> RankShare::indices(int64_t) const {
  std::vector<int64_t> rows;
  for (int64_t i = rank_; i < size_; i += world_size_) {
    rows.push_back(i);
  }
  return rows;
}

std::string RankShare::describe() const {
  return c10::str("share(size=", size_, ", world_size=", world_size_, ")");
}

at::Tensor gather_rows(const at::Tensor& rows, int64_t total) {
  std::vector<int64_t> sizes = rows.sizes().vec();
  const at::Tensor largest = at::tensor(sizes, at::kLong);
  all_reduce(largest, Reduce::kMax);
  for (size_t d = 0; d < sizes.size(); ++d) {
    sizes[d] = largest.const_data_ptr<int64_t>()[d];
  }
  at::Tensor own = rows;
  if (rows.sizes() != c10::IntArrayRef(sizes)) {
    own = at::full(sizes, -100, rows.options());
    at::Tensor inside = own;
    for (int64_t d = 0; d < rows.dim(); ++d) {
      inside = inside.narrow(d, 0, rows.size(d));
    }
    inside.copy_(rows);
  }
  // [W, n, ...] -> row i * W + r is the i-th of rank r
  at::Tensor all = all_gather(own).transpose(0, 1).contiguous();
  sizes[0] *= world_size();
  return all.view(sizes).narrow(0, 0, total).contiguous();
}

}  // namespace torch_hpu::train
