#include "csrc/kernels/workspace.h"

#include <c10/util/Exception.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "csrc/support/pages.h"
#include "test/cpp/device/resident.h"

namespace torch_hpu {
namespace {

using kernels::workspace;
using kernels::Workspace;

constexpr size_t kMiB = size_t{1} << 20;

// On a thread of its own, whose workspaces are new.
template <typename F>
void on_new_thread(F f) {
  std::thread(f).join();
}

TEST(Workspace, GrowsWhereItLies) {
  on_new_thread([] {
    std::byte* const data = workspace(Workspace::kPanel, 1000);
    std::memset(data, 1, 1000);
    for (const size_t nbytes : {size_t{5000}, kMiB, 40 * kMiB, size_t{64}}) {
      EXPECT_EQ(workspace(Workspace::kPanel, nbytes), data);
      std::memset(data, 1, nbytes);
    }
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0);
    EXPECT_NE(workspace(Workspace::kReorder, 1000), data);
  });
}

TEST(Workspace, TakesPreparedPages) {
  on_new_thread([] {
    prepare_pages(kMiB);
    EXPECT_EQ(device::resident_pages(workspace(Workspace::kPanel, kMiB / 4), kMiB / 4), 64);
    std::byte* const data = workspace(Workspace::kPanel, 2 * kMiB);
    EXPECT_EQ(device::resident_pages(data, 2 * kMiB), 256);  // all that there were
    std::memset(data, 1, 2 * kMiB);
    drop_prepared_pages();
  });
}

TEST(Workspace, MayBeLargerThanWhatIsReserved) {
  on_new_thread([] {
    const size_t large = 1500 * kMiB;
    workspace(Workspace::kPanel, 1000);
    std::byte* const data = workspace(Workspace::kPanel, large);
    data[0] = data[large - 1] = std::byte{1};
    EXPECT_EQ(workspace(Workspace::kPanel, large), data);
  });
}

TEST(Workspace, FewAddressesAreEnough) {
  on_new_thread([] {
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit tight{pages * 4096 + 64 * kMiB, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &tight), 0);
    std::byte* const data = workspace(Workspace::kPanel, 10000);
    std::memset(data, 1, 10000);
    EXPECT_THROW(workspace(Workspace::kPanel, 100 * kMiB), c10::OutOfMemoryError);
    EXPECT_EQ(workspace(Workspace::kPanel, 10000), data);
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &before), 0);
    std::memset(workspace(Workspace::kPanel, 100 * kMiB), 1, 100 * kMiB);
  });
}

}  // namespace
}  // namespace torch_hpu
