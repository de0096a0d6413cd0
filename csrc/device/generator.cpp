#include "csrc/device/generator.h"

#include <ATen/Utils.h>
#include <ATen/core/GeneratorForPrivateuseone.h>
#include <ATen/ops/empty.h>

#include <cstring>
#include <deque>

#include "csrc/device/device.h"

namespace torch_hpu::device {

PhiloxGenerator::PhiloxGenerator(c10::DeviceIndex device)
    : c10::GeneratorImpl(c10::Device(c10::DeviceType::PrivateUse1, device), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)) {
  seed_ = c10::default_rng_seed_val;
}

uint64_t PhiloxGenerator::reserve(uint64_t blocks) {
  std::lock_guard<std::mutex> lock(state_mutex_);
  const uint64_t offset = offset_;
  offset_ += blocks;
  return offset;
}

void PhiloxGenerator::set_current_seed(uint64_t seed) {
  std::lock_guard<std::mutex> lock(state_mutex_);
  seed_ = seed;
  offset_ = 0;
}

void PhiloxGenerator::set_offset(uint64_t offset) {
  std::lock_guard<std::mutex> lock(state_mutex_);
  offset_ = offset;
}

uint64_t PhiloxGenerator::get_offset() const {
  std::lock_guard<std::mutex> lock(state_mutex_);
  return offset_;
}

uint64_t PhiloxGenerator::current_seed() const {
  std::lock_guard<std::mutex> lock(state_mutex_);
  return seed_;
}

uint64_t PhiloxGenerator::seed() {
  const uint64_t seed = c10::detail::getNonDeterministicRandom();
  set_current_seed(seed);
  return seed;
}

void PhiloxGenerator::set_state(const c10::TensorImpl& state) {
  at::detail::check_rng_state(state);
  TORCH_CHECK(state.numel() == 16, "[hpu] generator state: got ", state.numel(), " bytes, expected 16 (seed and offset)");
  std::lock_guard<std::mutex> lock(state_mutex_);
  const auto* bytes = static_cast<const std::byte*>(state.data());
  std::memcpy(&seed_, bytes, 8);
  std::memcpy(&offset_, bytes + 8, 8);
}

c10::intrusive_ptr<c10::TensorImpl> PhiloxGenerator::get_state() const {
  at::Tensor state = at::empty({16}, at::TensorOptions().dtype(at::kByte).device(at::kCPU));
  std::lock_guard<std::mutex> lock(state_mutex_);
  std::memcpy(state.mutable_data_ptr<uint8_t>(), &seed_, 8);
  std::memcpy(state.mutable_data_ptr<uint8_t>() + 8, &offset_, 8);
  return state.getIntrusivePtr();
}

PhiloxGenerator* PhiloxGenerator::clone_impl() const {
  auto* copy = new PhiloxGenerator(device().index());
  std::lock_guard<std::mutex> lock(state_mutex_);
  copy->seed_ = seed_;
  copy->offset_ = offset_;
  return copy;
}

const at::Generator& default_generator(c10::DeviceIndex device) {
  static auto* generators = [] {
    auto* all = new std::deque<at::Generator>;
    for (c10::DeviceIndex d = 0; d < device_count(); ++d) {
      all->push_back(at::make_generator<PhiloxGenerator>(d));
    }
    return all;
  }();
  const c10::DeviceIndex index = device < 0 ? current_device() : device;
  TORCH_CHECK(index < static_cast<c10::DeviceIndex>(generators->size()), "[hpu] no generator for device ", static_cast<int>(index));
  return (*generators)[static_cast<size_t>(index)];
}

PhiloxGenerator* philox(const at::Generator& generator) {
  TORCH_CHECK(generator.defined() && generator.device().type() == c10::DeviceType::PrivateUse1, "[hpu] expected an hpu generator");
  return static_cast<PhiloxGenerator*>(generator.unsafeGetGeneratorImpl());
}

}  // namespace torch_hpu::device
