// Storages: pending, bound, failed, escaped; versions; what a flush does to them.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "csrc/device/device.h"
#include "csrc/lazy/failure.h"
#include "csrc/lazy/memory.h"
#include "csrc/lazy/sync.h"
#include "csrc/support/counters.h"
#include "csrc/support/env.h"

namespace torch_hpu::lazy {
namespace {

const c10::Device kHpu(c10::DeviceType::PrivateUse1, 0);

at::Tensor ones(at::IntArrayRef sizes) {
  return at::ones(sizes, at::TensorOptions().device(kHpu));
}

Memory* memory(const at::Tensor& t) {
  return memory_of(t.storage().unsafeGetStorageImpl());
}

class Storage : public testing::Test {
 protected:
  void SetUp() override {
    set_option("tier", "compiled");
    synchronize_device(0, "test");
    flushes_ = value(Counter::kFlushes);
  }
  uint64_t flushes() const {
    return value(Counter::kFlushes) - flushes_;
  }

 private:
  uint64_t flushes_ = 0;
};

TEST_F(Storage, PendingUntilItIsRead) {
  const at::Tensor x = ones({4}), y = x + 1;
  EXPECT_FALSE(memory(y)->bound);
  EXPECT_NE(memory(y)->trace, nullptr);
  EXPECT_EQ(memory(y)->data, nullptr);
  EXPECT_EQ(flushes(), 0);
  EXPECT_EQ(y.sum().item<float>(), 8);
  EXPECT_TRUE(memory(y)->bound);
  EXPECT_EQ(memory(y)->trace, nullptr);
  EXPECT_TRUE(memory(y)->produced);
  EXPECT_EQ(flushes(), 1);
}

TEST_F(Storage, PendingAddressesAreDistinct) {
  std::set<const void*> addresses;
  std::vector<at::Tensor> tensors;
  for (int i = 0; i < 100; ++i) {
    tensors.push_back(at::empty({8}, at::TensorOptions().device(kHpu)));
    addresses.insert(tensors.back().const_data_ptr());
  }
  EXPECT_EQ(addresses.size(), 100);
  EXPECT_EQ(addresses.count(nullptr), 0);
  EXPECT_EQ(flushes(), 0);
}

TEST_F(Storage, NobodyNeedsADroppedTensor) {
  at::Tensor x = ones({4}), y = x * 2;
  const auto kept = MemoryPtr::reclaim_copy(memory(y));
  EXPECT_TRUE(kept->observable);
  const at::Tensor view = y.view({2, 2});
  y.reset();
  EXPECT_TRUE(kept->observable);
  EXPECT_EQ(view.sum().item<float>(), 8);
}

TEST_F(Storage, ADroppedTensorIsNotObservable) {
  at::Tensor x = ones({4});
  const auto kept = MemoryPtr::reclaim_copy(memory(x));
  x.reset();
  EXPECT_FALSE(kept->observable);
  flush(device::default_stream(0), "test");
  synchronize(device::default_stream(0), "test");
  EXPECT_FALSE(kept->bound);  // dead code: it never got memory
}

TEST_F(Storage, MutableAccessEscapes) {
  const at::Tensor x = ones({4});
  EXPECT_FALSE(memory(x)->escaped);
  const uint64_t version = memory(x)->version;
  auto* data = static_cast<float*>(x.mutable_data_ptr());
  EXPECT_TRUE(memory(x)->escaped);
  EXPECT_GT(memory(x)->version, version);
  EXPECT_EQ(reinterpret_cast<std::byte*>(data), memory(x)->data);
  EXPECT_EQ(data[3], 1);
  data[3] = 5;
  EXPECT_EQ(x.sum().item<float>(), 8);
  x.add_(1);  // the materializer is armed again
  EXPECT_EQ(static_cast<float*>(x.mutable_data_ptr())[3], 6);
}

TEST_F(Storage, EachWriteMovesTheVersion) {
  const at::Tensor x = ones({4});
  uint64_t last = memory(x)->version;
  const auto moved = [&] {
    const uint64_t before = std::exchange(last, memory(x)->version.load());
    return last > before;
  };
  x.add_(1);
  EXPECT_TRUE(moved());
  x.view({2, 2}).select(0, 1).zero_();
  EXPECT_TRUE(moved());
  x.copy_(at::ones({4}));
  EXPECT_TRUE(moved());
  const at::Tensor sum = x.sum() + x.detach().max();
  EXPECT_FALSE(moved());
  EXPECT_EQ(sum.item<float>(), 5);
  EXPECT_FALSE(moved());
}

TEST_F(Storage, FailuresAreReadAndCleared) {
  const at::Tensor x = ones({4});
  synchronize_device(0, "test");
  const auto error = std::make_exception_ptr(std::runtime_error("lost"));
  keep_failure(device::default_stream(0), {memory(x)}, error);
  EXPECT_THROW(synchronize(device::default_stream(0), "test"), std::runtime_error);
  EXPECT_NO_THROW(synchronize(device::default_stream(0), "test"));
  const at::Tensor dependant = x + 1, independent = ones({4}) * 3;
  flush(device::default_stream(0), "test");
  EXPECT_THROW(x.sum().item(), std::runtime_error);
  EXPECT_THROW(dependant.sum().item(), std::runtime_error);
  x.fill_(2);
  EXPECT_EQ(x.sum().item<float>(), 8);
  EXPECT_EQ((x + 1).sum().item<float>(), 12);
}

TEST_F(Storage, ResizingWhatHoldsNothingDoesNotFlush) {
  const at::Tensor other = ones({4}) + 1, x = at::empty({0}, at::TensorOptions().device(kHpu));
  x.resize_({100});
  EXPECT_EQ(flushes(), 0);
  EXPECT_EQ(x.storage().nbytes(), 400);
  x.fill_(1);
  x.resize_({200});  // has recorded bytes: they are kept
  EXPECT_EQ(x.slice(0, 0, 100).sum().item<float>(), 100);
}

TEST_F(Storage, ForeignBytesAreAdopted) {
  c10::Storage storage(c10::Storage::use_byte_size_t(), 16, device::device_allocator()->allocate(16), device::device_allocator(), true);
  Memory* adopted = memory_of(storage.unsafeGetStorageImpl());
  EXPECT_TRUE(adopted->bound && adopted->escaped);
  EXPECT_EQ(memory_of(storage.unsafeGetStorageImpl()), adopted);
}

}  // namespace
}  // namespace torch_hpu::lazy
