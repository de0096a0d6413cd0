#include "csrc/train/optimizer.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/nn.h>
#include <torch/optim.h>
#include <torch/serialize.h>

#include <algorithm>
#include <cstring>
#include <regex>
#include <set>
#include <sstream>

#include "csrc/train/step_graph.h"

namespace torch_hpu::train {
namespace {

// AdamW as at::_fused_adamw_: rates and step counts are tensors on the device (https://arxiv.org/abs/1711.05101, as torch.optim.AdamW).
class FusedAdamW final : public TrainOptimizer {
 public:
  FusedAdamW(const GaudiTrainingArguments& args, const Groups& groups)
      : beta1_(args.adam_beta1), beta2_(args.adam_beta2), epsilon_(args.adam_epsilon), weight_decay_(groups.weight_decay) {
    groups_ = groups.parameters;
    for (const auto& parameters : groups_) {
      Group group;
      for (const at::Tensor& p : parameters) {
        group.averages.push_back(device_zeros_like(p));
        group.squares.push_back(device_zeros_like(p));
        group.steps.push_back(device_number(0, p.device()));
      }
      states_.push_back(std::move(group));
    }
  }

  void set_lrs(const std::vector<double>& lrs) override {
    for (size_t g = 0; g < states_.size(); ++g) {
      Group& s = states_[g];
      if (!s.rate.defined() || s.lr != lrs.at(g)) {  // a new tensor: the last one may be in use
        s.lr = lrs[g];
        s.rate = device_number(s.lr, groups_[g].front().device());
      }
    }
  }

  std::vector<at::Tensor> rates() const override {
    std::vector<at::Tensor> rates;
    for (const Group& s : states_) {
      rates.push_back(s.rate);
    }
    return rates;
  }

  void step(const std::vector<at::Tensor>& rates) override {
    for (size_t g = 0; g < states_.size(); ++g) {
      Group& s = states_[g];
      std::vector<at::Tensor> parameters, gradients, averages, squares, steps;
      for (size_t i = 0; i < groups_[g].size(); ++i) {
        if (groups_[g][i].grad().defined()) {
          parameters.push_back(groups_[g][i].detach());
          gradients.push_back(groups_[g][i].grad());
          averages.push_back(s.averages[i]);
          squares.push_back(s.squares[i]);
          steps.push_back(s.steps[i]);
        }
      }
      if (parameters.empty()) {
        continue;
      }
      at::_foreach_add_(steps, 1);
      at::_fused_adamw_(parameters, gradients, averages, squares, {}, steps, rates.at(g), beta1_, beta2_, weight_decay_[g], epsilon_,
                        /*amsgrad=*/false, /*maximize=*/false);
    }
  }

  bool capturable() const override {
    return true;
  }

  std::map<std::string, at::Tensor> state() const override {
    std::map<std::string, at::Tensor> state;
    const_cast<FusedAdamW*>(this)->visit([&](const std::string& name, at::Tensor& tensor) { state[name] = tensor; });
    return state;
  }

  void load_state(const std::map<std::string, at::Tensor>& state) override {
    size_t expected = 0;
    visit([&](const std::string& name, at::Tensor& tensor) {
      const auto it = state.find(name);
      TORCH_CHECK(it != state.end() && it->second.sizes() == tensor.sizes(), "[GaudiTrainer] the optimizer's state does not fit: '", name,
                  "' is missing or has another shape than ", tensor.sizes());
      tensor.copy_(it->second);
      ++expected;
    });
    TORCH_CHECK(state.size() == expected, "[GaudiTrainer] the optimizer's state does not fit: it has ", state.size(), " tensors, expected ",
                expected);
  }

 private:
  struct Group {
    std::vector<at::Tensor> averages, squares, steps;
    double lr = 0;
    at::Tensor rate;
  };

  void visit(const std::function<void(const std::string&, at::Tensor&)>& f) {
    for (size_t g = 0; g < states_.size(); ++g) {
      for (size_t i = 0; i < states_[g].steps.size(); ++i) {
        const std::string prefix = std::to_string(g) + "." + std::to_string(i) + ".";
        f(prefix + "exp_avg", states_[g].averages[i]);
        f(prefix + "exp_avg_sq", states_[g].squares[i]);
        f(prefix + "step", states_[g].steps[i]);
      }
    }
  }

  double beta1_, beta2_, epsilon_;
  std::vector<double> weight_decay_;
  std::vector<Group> states_;
};

// Any optimizer of torch::optim. Its state is kept as torch::save() writes it.
class TorchOptimizer final : public TrainOptimizer {
 public:
  explicit TorchOptimizer(std::unique_ptr<torch::optim::Optimizer> optimizer) : optimizer_(std::move(optimizer)) {
    for (const auto& group : optimizer_->param_groups()) {
      groups_.push_back(group.params());
    }
  }
  void set_lrs(const std::vector<double>& lrs) override {
    for (size_t g = 0; g < lrs.size(); ++g) {
      optimizer_->param_groups().at(g).options().set_lr(lrs[g]);
    }
  }
  std::vector<at::Tensor> rates() const override {
    return {};
  }
  void step(const std::vector<at::Tensor>&) override {
    optimizer_->step();
  }
  bool capturable() const override {
    return false;
  }
  std::map<std::string, at::Tensor> state() const override {
    std::ostringstream out;
    torch::save(*optimizer_, out);
    const std::string bytes = out.str();
    at::Tensor tensor = at::empty({static_cast<int64_t>(bytes.size())}, at::kByte);
    std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
    return {{"torch_optim", tensor}};
  }
  void load_state(const std::map<std::string, at::Tensor>& state) override {
    const auto it = state.find("torch_optim");
    TORCH_CHECK(it != state.end(), "[GaudiTrainer] the optimizer's state does not fit: it is of another kind of optimizer");
    std::istringstream in(std::string(static_cast<const char*>(it->second.const_data_ptr()), it->second.nbytes()));
    try {
      torch::load(*optimizer_, in, groups_.front().front().device());
    } catch (const c10::Error& e) {
      TORCH_CHECK(false, "[GaudiTrainer] the optimizer's state cannot be read: ", e.what_without_backtrace());
    }
  }

 private:
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

// transformers' rule: no decay for parameters of layer norms, nor for names that say bias or norm.
bool decays(const torch::nn::Module& owner, std::string name) {
  static const std::regex pattern(R"(bias|layernorm|rmsnorm|(^|\.)norm($|\.)|_norm($|\.))");
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return owner.name().find("LayerNorm") == std::string::npos && !std::regex_search(name, pattern);
}

}  // namespace

std::vector<at::Tensor> TrainOptimizer::parameters() const {
  std::vector<at::Tensor> all;
  for (const auto& group : groups_) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

Groups parameter_groups(const torch::nn::Module& module, double weight_decay) {
  std::vector<at::Tensor> decayed, others;
  std::set<const c10::TensorImpl*> seen;  // tied weights have several names
  for (const auto& named : module.named_modules("", /*include_self=*/true)) {
    for (const auto& parameter : named.value()->named_parameters(/*recurse=*/false)) {
      const at::Tensor& p = parameter.value();
      if (!p.requires_grad() || !seen.insert(p.unsafeGetTensorImpl()).second) {
        continue;
      }
      const std::string name = named.key().empty() ? parameter.key() : named.key() + "." + parameter.key();
      (decays(*named.value(), name) ? decayed : others).push_back(p);
    }
  }
  Groups groups;
  for (const auto& [parameters, decay] : {std::pair{&decayed, weight_decay}, std::pair{&others, 0.0}}) {
    if (!parameters->empty()) {
      groups.parameters.push_back(*parameters);
      groups.weight_decay.push_back(decay);
    }
  }
  TORCH_CHECK(!groups.parameters.empty(), "[GaudiTrainer] the model has no parameters that require gradients");
  return groups;
}

std::unique_ptr<TrainOptimizer> make_optimizer(const GaudiTrainingArguments& args, const Groups& groups,
                                               const std::function<std::unique_ptr<torch::optim::Optimizer>(ParamGroups)>& make) {
  if (make) {
    ParamGroups torch_groups;
    for (const auto& parameters : groups.parameters) {
      torch_groups.emplace_back(parameters);
    }
    auto optimizer = make(std::move(torch_groups));
    TORCH_CHECK(optimizer != nullptr, "[GaudiTrainer] make_optimizer returned no optimizer");
    return std::make_unique<TorchOptimizer>(std::move(optimizer));
  }
  if (args.optim == "adamw_torch" || args.optim == "adamw_torch_fused") {
    return std::make_unique<FusedAdamW>(args, groups);
  }
  const auto with = [&](auto options, auto make_one) -> std::unique_ptr<TrainOptimizer> {
    ParamGroups torch_groups;
    for (size_t g = 0; g < groups.parameters.size(); ++g) {
      auto own = std::make_unique<decltype(options)>(options);
      own->weight_decay(groups.weight_decay[g]);
      torch_groups.emplace_back(groups.parameters[g], std::move(own));
    }
    return std::make_unique<TorchOptimizer>(make_one(std::move(torch_groups), options));
  };
  using namespace torch::optim;
  if (args.optim == "sgd") {
    return with(SGDOptions(args.learning_rate), [](ParamGroups g, SGDOptions o) { return std::make_unique<SGD>(std::move(g), o); });
  }
  if (args.optim == "adagrad") {
    return with(AdagradOptions(args.learning_rate),
                [](ParamGroups g, AdagradOptions o) { return std::make_unique<Adagrad>(std::move(g), o); });
  }
  return with(RMSpropOptions(args.learning_rate),
              [](ParamGroups g, RMSpropOptions o) { return std::make_unique<RMSprop>(std::move(g), o); });
}

at::Tensor clip_grad_norm(const std::vector<at::Tensor>& parameters, double max_norm) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& p : parameters) {
    if (p.grad().defined()) {
      gradients.push_back(p.grad());
    }
  }
  if (gradients.empty()) {
    return at::zeros({}, parameters.front().options().dtype(at::kFloat));
  }
  const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients, 2)));
  at::_foreach_mul_(gradients, at::clamp(max_norm / (norm + 1e-6), {}, 1.0));
  return norm;
}

}  // namespace torch_hpu::train
