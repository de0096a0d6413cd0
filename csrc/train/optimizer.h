// What the trainer needs of an optimizer: rates that change, steps on the device, a state that can be saved.
#pragma once

#include <torch/optim/optimizer.h>
#include <torch_hpu/training_arguments.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace torch_hpu::train {

using ParamGroups = std::vector<torch::optim::OptimizerParamGroup>;

class TrainOptimizer {
 public:
  virtual ~TrainOptimizer() = default;
  virtual void set_lrs(const std::vector<double>& lrs) = 0;  // one per group
  // What set_lrs() gave, as tensors on the device: what a captured step has to be given anew. Empty where a step cannot be captured.
  virtual std::vector<at::Tensor> rates() const = 0;
  virtual void step(const std::vector<at::Tensor>& rates) = 0;  // rates(), or tensors in their place
  // Whether a step is the same series of ops each time, so that it can be captured: all that changes lies in tensors.
  virtual bool capturable() const = 0;
  virtual std::map<std::string, at::Tensor> state() const = 0;
  // Throws when the state is of another optimizer or of other parameters.
  virtual void load_state(const std::map<std::string, at::Tensor>& state) = 0;
  const std::vector<std::vector<at::Tensor>>& groups() const {
    return groups_;
  }
  std::vector<at::Tensor> parameters() const;  // of all groups

 protected:
  std::vector<std::vector<at::Tensor>> groups_;
};

// Parameters that decay (weights), and those that do not (biases, weights of norms). Empty groups are left out.
struct Groups {
  std::vector<std::vector<at::Tensor>> parameters;
  std::vector<double> weight_decay;
};
Groups parameter_groups(const torch::nn::Module& module, double weight_decay);

// args.optim, or what `make` returns.
std::unique_ptr<TrainOptimizer> make_optimizer(const GaudiTrainingArguments& args, const Groups& groups,
                                               const std::function<std::unique_ptr<torch::optim::Optimizer>(ParamGroups)>& make);

// Scales gradients so that their common norm is at most max_norm; returns the norm before, 0-dim on their device. No host sync.
at::Tensor clip_grad_norm(const std::vector<at::Tensor>& parameters, double max_norm);

}  // namespace torch_hpu::train
