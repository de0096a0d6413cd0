#include <torch_hpu/state_dict.h>

#include <c10/core/GradMode.h>

namespace torch_hpu {

std::map<std::string, at::Tensor> state_dict(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> state;
  for (const auto& parameter : module.named_parameters()) {
    state[parameter.key()] = parameter.value();
  }
  for (const auto& buffer : module.named_buffers()) {
    state[buffer.key()] = buffer.value();
  }
  return state;
}

void load_state_dict(torch::nn::Module& module, const std::map<std::string, at::Tensor>& state, bool strict) {
  const auto own = state_dict(module);
  std::string missing, surplus, shapes;
  const auto add = [](std::string& list, const std::string& item) { list += (list.empty() ? "" : ", ") + item; };
  for (const auto& [name, tensor] : own) {
    const auto it = state.find(name);
    if (it == state.end()) {
      add(missing, name);
    } else if (it->second.sizes() != tensor.sizes()) {
      add(shapes, c10::str(name, ": got ", it->second.sizes(), ", expected ", tensor.sizes()));
    }
  }
  for (const auto& [name, unused] : state) {
    if (own.count(name) == 0) {
      add(surplus, name);
    }
  }
  std::string error;
  for (const auto& [what, list] : {std::pair{"missing: ", &missing}, {"of another shape: ", &shapes}, {"surplus: ", &surplus}}) {
    if (!list->empty() && (strict || list != &surplus)) {
      error += (error.empty() ? "" : "; ") + (what + *list);
    }
  }
  TORCH_CHECK(error.empty(), "[load_state_dict] the tensors do not fit the module. ", error);
  const c10::AutoGradMode no_grad(false);
  for (const auto& [name, tensor] : own) {
    at::Tensor(tensor).copy_(state.at(name));
  }
}

}  // namespace torch_hpu
