#include <ATen/Parallel.h>

#include "test/cpp/kernels/call_builder.h"

namespace torch_hpu {
namespace {

using kernels::Primitive;
using kernels::Scan;
using testing::CallBuilder;
using testing::expect_close;
using testing::tolerance_of;

at::Tensor scan(Scan kind, const at::Tensor& x, int64_t dim) {
  const at::Tensor out = at::empty_like(x);
  CallBuilder(Primitive::kScan).read(x).write(out).write({}).ints({static_cast<int64_t>(kind), dim}).run();
  return out;
}

TEST(Scan, AlongEveryDimOfStridedTensors) {
  for (auto dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kLong}) {
    const at::Tensor x = at::randint(1, 4, {5, 6, 7}).to(dtype).permute({2, 0, 1}).slice(1, 0, 5, 2);
    for (int64_t dim : {0, 1, 2}) {
      expect_close(scan(Scan::kSum, x, dim), at::cumsum(x, dim), tolerance_of(dtype));
      expect_close(scan(Scan::kProduct, x, dim), at::cumprod(x, dim), tolerance_of(dtype));
      expect_close(scan(Scan::kMax, x, dim), std::get<0>(at::cummax(x, dim)), 0);
    }
  }
}

// Few long lines are cut into chunks: the same values, whatever the number of threads.
TEST(Scan, LongLinesAreCut) {
  const at::Tensor x = at::randn({3, 50021});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = scan(Scan::kSum, x, 1);
  at::set_num_threads(4);
  const at::Tensor four = scan(Scan::kSum, x, 1);
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(one, four));
  expect_close(one, at::cumsum(x.to(at::kDouble), 1), 1e-4);
  expect_close(scan(Scan::kLogSumExp, x, 1), at::logcumsumexp(x, 1), 1e-5);
}

TEST(Scan, LastOfEqualsAndNanWin) {
  at::Tensor x = at::randint(0, 50, {2, 40009}).to(at::kFloat);
  x.index_put_({at::tensor(1), at::tensor(30000)}, std::numeric_limits<float>::quiet_NaN());
  for (Scan kind : {Scan::kMax, Scan::kMin}) {
    const at::Tensor out = at::empty_like(x), indices = at::empty_like(x, at::kLong);
    CallBuilder(Primitive::kScan).read(x).write(out).write(indices).ints({static_cast<int64_t>(kind), 1}).run();
    const auto [values, places] = kind == Scan::kMax ? at::cummax(x, 1) : at::cummin(x, 1);
    EXPECT_TRUE(at::allclose(out, values, 0, 0, /*equal_nan=*/true));
    EXPECT_TRUE(at::equal(indices, places));
  }
}

}  // namespace
}  // namespace torch_hpu
