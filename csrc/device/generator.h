// The device generator: Philox with a seed and an offset, see Note [Random numbers] (support/philox.h).
#pragma once

#include <ATen/core/Generator.h>

#include <mutex>

namespace torch_hpu::device {

class PhiloxGenerator final : public c10::GeneratorImpl {
 public:
  explicit PhiloxGenerator(c10::DeviceIndex device);

  // Returns the current offset and advances it by `blocks`.
  uint64_t reserve(uint64_t blocks);

  void set_current_seed(uint64_t seed) override;  // and offset 0
  void set_offset(uint64_t offset) override;
  uint64_t get_offset() const override;
  uint64_t current_seed() const override;
  uint64_t seed() override;                               // from the system's entropy
  void set_state(const c10::TensorImpl& state) override;  // 16 bytes: seed, offset
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override;

 private:
  PhiloxGenerator* clone_impl() const override;

  uint64_t seed_ = c10::detail::getNonDeterministicRandom();
  uint64_t offset_ = 0;
  mutable std::mutex state_mutex_;
};

const at::Generator& default_generator(c10::DeviceIndex device);
// The generator's implementation; throws when it belongs to another device type.
PhiloxGenerator* philox(const at::Generator& generator);

}  // namespace torch_hpu::device
