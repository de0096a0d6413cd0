#include "csrc/train/checkpointing.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch_hpu/device.h>
#include <torch_hpu/random.h>

#include <memory>

namespace torch_hpu::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Function = std::function<at::Tensor(const at::Tensor&)>;

at::Generator generator_of(c10::DeviceType device) {
  return device == kDeviceType ? default_generator() : at::detail::getDefaultCPUGenerator();
}

at::Tensor state_of(at::Generator generator) {
  const std::lock_guard<std::mutex> lock(generator.mutex());
  return at::Tensor(generator.get_state());
}

void restore(at::Generator generator, const at::Tensor& state) {
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
}

struct Call : torch::CustomClassHolder {
  Function function;
  at::Tensor random;  // state of the generator before the forward pass
};

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  // A TensorList: apply() takes a vector for a constant and would cut the inputs off from their gradients.
  static variable_list forward(AutogradContext* context, c10::intrusive_ptr<Call> call, at::TensorList inputs) {
    call->random = state_of(generator_of(inputs.front().device().type()));
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    context->save_for_backward(inputs.vec());
    const at::AutoDispatchBelowAutograd below;
    return {call->function(inputs.front().detach())};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list inputs = context->get_saved_variables();
    const auto call = c10::static_intrusive_pointer_cast<Call>(context->saved_data["call"].toCapsule());
    const at::Generator generator = generator_of(inputs.front().device().type());
    const at::Tensor now = state_of(generator);
    restore(generator, call->random);
    variable_list sources{inputs.front().detach().requires_grad_(inputs.front().requires_grad())};
    at::Tensor output;
    {
      const c10::AutoGradMode grad(true);
      output = call->function(sources.front());
    }
    restore(generator, now);
    variable_list wanted;
    if (sources.front().requires_grad()) {
      wanted.push_back(sources.front());
    }
    wanted.insert(wanted.end(), inputs.begin() + 1, inputs.end());
    variable_list found = torch::autograd::grad({output}, wanted, {gradients.front()}, /*retain_graph=*/false, /*create_graph=*/false,
                                                /*allow_unused=*/true);
    if (!sources.front().requires_grad()) {
      found.insert(found.begin(), at::Tensor());
    }
    found.insert(found.begin(), at::Tensor());  // of the function
    return found;
  }
};

}  // namespace

at::Tensor checkpoint(Function function, const at::Tensor& x, const std::vector<at::Tensor>& parameters) {
  auto call = c10::make_intrusive<Call>();
  call->function = std::move(function);
  variable_list inputs{x};
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  return Checkpointed::apply(call, at::TensorList(inputs)).front();
}

}  // namespace torch_hpu::train
