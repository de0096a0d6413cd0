#include "csrc/support/pages.h"

#include <gtest/gtest.h>

#include <cstring>

#include "test/cpp/device/resident.h"

namespace torch_hpu::device {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

// Fresh memory.
class Mapping {
 public:
  explicit Mapping(size_t nbytes)
      : data_(static_cast<std::byte*>(::mmap(nullptr, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))),
        nbytes_(nbytes) {
    EXPECT_NE(data_, MAP_FAILED);
    EXPECT_EQ(resident(), 0);
  }
  ~Mapping() {
    EXPECT_EQ(::munmap(data_, nbytes_), 0);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::byte* data() const {
    return data_;
  }
  size_t resident() const {
    return resident_pages(data_, nbytes_);
  }

 private:
  std::byte* data_;
  size_t nbytes_;
};

TEST(Pages, TakeThePlaceOfTheFirstOnes) {
  const Mapping memory(2 * kMiB);
  prepare_pages(kMiB);
  put_prepared_pages(memory.data(), 2 * kMiB);
  EXPECT_EQ(memory.resident(), kMiB / kPage);
  for (size_t i = 0; i < 2 * kMiB; i += kPage / 2) {
    ASSERT_EQ(memory.data()[i], std::byte{0});
  }
  std::memset(memory.data(), 1, 2 * kMiB);  // across the seam
  EXPECT_EQ(memory.data()[2 * kMiB - 1], std::byte{1});
}

TEST(Pages, AreGivenAwayOnce) {
  const Mapping first(kMiB), second(kMiB), third(kMiB);
  prepare_pages(kMiB);
  put_prepared_pages(first.data(), 10 * kPage + 100);  // whole pages only
  EXPECT_EQ(first.resident(), 10);
  put_prepared_pages(second.data(), kMiB);
  EXPECT_EQ(second.resident(), kMiB / kPage - 10);
  put_prepared_pages(third.data(), kMiB);
  EXPECT_EQ(third.resident(), 0);
}

TEST(Pages, CanBeDropped) {
  const Mapping memory(kMiB), later(kMiB);
  prepare_pages(kMiB);
  drop_prepared_pages();
  put_prepared_pages(memory.data(), kMiB);
  EXPECT_EQ(memory.resident(), 0);
  prepare_pages(kMiB);
  put_prepared_pages(later.data(), kMiB);
  EXPECT_EQ(later.resident(), kMiB / kPage);
}

}  // namespace
}  // namespace torch_hpu::device
