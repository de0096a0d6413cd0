#include <torch_hpu/graph_call.h>

#include <ATen/ops/clone.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "csrc/device/device.h"
#include "csrc/graph/captured.h"
#include "csrc/lazy/record.h"

namespace torch_hpu {
namespace {

c10::StorageImpl* storage_of(const at::Tensor& t) {
  return t.storage().unsafeGetStorageImpl();
}

bool is_plain(const at::Tensor& t) {
  return t.device().type() == c10::DeviceType::PrivateUse1 && !t.is_conj() && !t.is_neg();
}

}  // namespace

GraphCall::GraphCall(HPUGraph& graph, StaticInputs inputs, std::vector<at::Tensor> results)
    : graph_(graph), inputs_(std::move(inputs)), results_(std::move(results)) {
  const graph::Captured& captured = graph_.checked("call");
  const auto& buffers = captured.trace().graph.buffers;
  const std::vector<at::Tensor>& stand_ins = inputs_.tensors();
  for (size_t i = 0; i < stand_ins.size(); ++i) {
    const size_t buffer = captured.index_of(stand_ins[i]);
    const bool known = std::any_of(direct_inputs_.begin(), direct_inputs_.end(), [&](const Input& d) { return d.buffer == buffer; });
    if (buffer < buffers.size() && !known) {
      direct_inputs_.push_back({i, buffer, !inputs_.has_own_storage(i)});
    }
  }
  writes_inputs_ =
      std::any_of(buffers.begin(), buffers.end(), [](const ir::Buffer& b) { return b.kind == ir::BufferKind::kInput && b.written; });
  // A result may go to new memory when it is the graph's output and nobody but the results shows its storage.
  std::vector<bool> done(results_.size());
  for (size_t i = 0; i < results_.size(); ++i) {
    if (done[i] || !results_[i].defined()) {
      continue;
    }
    std::vector<size_t> sharing;
    for (size_t j = i; j < results_.size(); ++j) {
      if (results_[j].defined() && storage_of(results_[j]) == storage_of(results_[i])) {
        sharing.push_back(j);
        done[j] = true;
      }
    }
    const size_t buffer = is_plain(results_[i]) ? captured.index_of(results_[i]) : buffers.size();
    const bool direct = buffer < buffers.size() && buffers[buffer].kind == ir::BufferKind::kLocal && buffers[buffer].observable &&
                        results_[i].storage().use_count() == sharing.size();
    for (size_t j : sharing) {
      if (direct) {
        direct_results_.push_back({j, buffer, results_[i].storage().nbytes(), j == i});
      } else {
        copied_results_.push_back(j);
        returns_inputs_ = returns_inputs_ || std::any_of(stand_ins.begin(), stand_ins.end(),
                                                         [&](const at::Tensor& t) { return storage_of(t) == storage_of(results_[j]); });
      }
    }
  }
}

std::vector<at::Tensor> GraphCall::operator()(const std::vector<at::Tensor>& given) {
  const c10::AutoGradMode no_grad(false);
  graph::Captured& captured = graph_.checked("call");
  std::vector<graph::Captured::Replacement> replacements;
  replacements.reserve(direct_inputs_.size() + direct_results_.size());
  bool direct = !returns_inputs_;
  for (const Input& input : direct_inputs_) {
    const at::Tensor& t = given[input.index];
    direct = direct && is_plain(t) && t.device().index() == device::current_device();
    if (!direct) {
      break;
    }
    lazy::Memory* memory = lazy::memory_of(storage_of(t));
    if (writes_inputs_ && captured.holds(*memory)) {  // the function was captured as if they were apart
      direct = false;
      break;
    }
    const int64_t offset = input.whole ? 0 : t.storage_offset() * static_cast<int64_t>(t.element_size());
    replacements.push_back({static_cast<ir::BufferId>(input.buffer), lazy::MemoryPtr::reclaim_copy(memory), offset});
  }
  if (!direct) {
    replacements.clear();
    inputs_.load(given);
  }
  std::vector<at::Tensor> results(results_.size());
  c10::Storage storage;
  for (const Result& r : direct_results_) {
    const at::Tensor& like = results_[r.index];
    if (r.first) {
      storage = lazy::make_storage(like.device().index(), r.nbytes);
      replacements.push_back(
          {static_cast<ir::BufferId>(r.buffer), lazy::MemoryPtr::reclaim_copy(lazy::memory_of(storage.unsafeGetStorageImpl()))});
    }
    results[r.index] = lazy::make_tensor(storage, like.scalar_type(), like.sizes(), like.strides(), like.storage_offset());
  }
  captured.replay(device::current_stream(device::current_device()), std::move(replacements));
  if (!direct) {
    inputs_.store(given, graph_);
  }
  for (size_t i : copied_results_) {
    results[i] = results_[i].detach().clone();
  }
  return results;
}

}  // namespace torch_hpu
