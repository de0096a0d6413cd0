#include <torch_hpu/static_inputs.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "csrc/device/device.h"

namespace torch_hpu {
namespace {

c10::Device this_device() {
  return {c10::DeviceType::PrivateUse1, device::current_device()};
}

// By tensor: the index of the first one with the same storage.
std::vector<size_t> first_with_storage(const std::vector<at::Tensor>& tensors) {
  std::vector<size_t> first(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    first[i] = i;
    for (size_t j = 0; j < i; ++j) {
      if (tensors[i].storage().unsafeGetStorageImpl() == tensors[j].storage().unsafeGetStorageImpl()) {
        first[i] = j;
        break;
      }
    }
  }
  return first;
}

// Hands the words of the signature to `visit`, one by one, until it returns false; whether it never did.
template <class Visit>
bool visit_signature(const std::vector<at::Tensor>& tensors, Visit visit) {
  const auto visit_all = [&](c10::IntArrayRef words) { return std::all_of(words.begin(), words.end(), visit); };
  for (const at::Tensor& t : tensors) {
    const int64_t kind = static_cast<int64_t>(t.scalar_type()) | static_cast<int64_t>(t.is_conj()) << 8 |
                         static_cast<int64_t>(t.is_neg()) << 9 | static_cast<int64_t>(t.device().type()) << 16 |
                         static_cast<int64_t>(t.dim()) << 32;
    if (!visit(kind) || !visit_all(t.sizes()) || !visit_all(t.strides())) {
      return false;
    }
    const c10::StorageImpl* storage = t.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
    int64_t first = -1, sharing = 0;
    for (size_t j = 0; j < tensors.size(); ++j) {
      if (tensors[j].unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl() == storage) {
        first = first < 0 ? static_cast<int64_t>(j) : first;
        ++sharing;
      }
    }
    if (sharing > 1 && !(visit(first) && visit(t.storage_offset()) && visit(static_cast<int64_t>(t.storage().nbytes())))) {
      return false;
    }
  }
  return true;
}

at::Tensor view_of_storage(const at::Tensor& tensor, c10::ScalarType dtype, int64_t offset, c10::IntArrayRef sizes,
                           c10::IntArrayRef strides) {
  return at::empty({0}, tensor.options().dtype(dtype)).set_(tensor.storage(), offset, sizes, strides);
}

at::Tensor bytes_of(const at::Tensor& tensor) {
  const auto nbytes = static_cast<int64_t>(tensor.storage().nbytes());
  return view_of_storage(tensor, at::kByte, 0, {nbytes}, {1});
}

// Expanded dimensions hold one element.
at::Tensor without_repeats(at::Tensor t) {
  for (int64_t d = 0; d < t.dim(); ++d) {
    if (t.stride(d) == 0 && t.size(d) > 1) {
      t = t.narrow(d, 0, 1);
    }
  }
  return t;
}

}  // namespace

StaticInputs::StaticInputs(const std::vector<at::Tensor>& given) : tensors_(given.size()) {
  const c10::AutoGradMode no_grad(false);
  const std::vector<size_t> first = first_with_storage(given);
  for (size_t i = 0; i < given.size(); ++i) {
    const at::Tensor& t = given[i];
    if (std::count(first.begin(), first.end(), first[i]) == 1) {
      tensors_[i] = at::empty_strided(t.sizes(), t.strides(), t.options().device(this_device()));
      own_.push_back(i);
      continue;
    }
    if (first[i] == i) {
      shared_.push_back(
          {i, at::empty({static_cast<int64_t>(t.storage().nbytes())}, at::TensorOptions().dtype(at::kByte).device(this_device()))});
    }
    const auto home = std::find_if(shared_.begin(), shared_.end(), [&](const Shared& s) { return s.first == first[i]; });
    tensors_[i] = view_of_storage(home->bytes, t.scalar_type(), t.storage_offset(), t.sizes(), t.strides());
  }
  load(given);
}

bool StaticInputs::has_own_storage(size_t index) const {
  return std::find(own_.begin(), own_.end(), index) != own_.end();
}

void StaticInputs::load(const std::vector<at::Tensor>& given) const {
  const c10::AutoGradMode no_grad(false);
  for (size_t i : own_) {
    without_repeats(tensors_[i]).copy_(without_repeats(given[i].detach()));
  }
  for (const Shared& s : shared_) {
    at::Tensor bytes = s.bytes;
    bytes.copy_(bytes_of(given[s.first]));
  }
}

void StaticInputs::store(const std::vector<at::Tensor>& given, const HPUGraph& graph) const {
  const c10::AutoGradMode no_grad(false);
  for (size_t i : own_) {
    if (graph.writes(tensors_[i])) {
      without_repeats(given[i].detach()).copy_(without_repeats(tensors_[i]));
    }
  }
  for (const Shared& s : shared_) {
    if (graph.writes(s.bytes)) {
      bytes_of(given[s.first]).copy_(s.bytes);
    }
  }
}

std::vector<int64_t> StaticInputs::signature(const std::vector<at::Tensor>& given) {
  std::vector<int64_t> words;
  visit_signature(given, [&](int64_t word) {
    words.push_back(word);
    return true;
  });
  return words;
}

bool StaticInputs::has_signature(const std::vector<at::Tensor>& given, const std::vector<int64_t>& signature) {
  auto word = signature.begin();
  return visit_signature(given, [&](int64_t w) { return word != signature.end() && *word++ == w; }) && word == signature.end();
}

}  // namespace torch_hpu
