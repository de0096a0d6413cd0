// Products of tiles and operations on rows at every instruction-set level, against double precision.
#include "csrc/kernels/tile.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "csrc/kernels/rows.h"
#include "test/cpp/kernels/isa_levels.h"

namespace torch_hpu {
namespace {

using kernels::Tile;

constexpr float kInf = std::numeric_limits<float>::infinity();

class Tiles : public testing::IsaLevels {};
INSTANTIATE_TEST_SUITE_P(Isa, Tiles, testing::kIsaLevels, testing::isa_name);

void expect_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& before, const at::Tensor& got, const std::string& what) {
  const at::Tensor expected = before.to(at::kDouble) + at::matmul(a.to(at::kDouble), b.to(at::kDouble));
  EXPECT_TRUE(at::allclose(got.to(at::kDouble), expected, 1e-5, 1e-5 * std::sqrt(static_cast<double>(a.size(1)))))
      << what << ": largest error " << (got.to(at::kDouble) - expected).abs().max().item<double>();
}

TEST_P(Tiles, ByRowsAndByColumns) {
  for (auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 3, 5},
                                  {1, 200, 64},
                                  {2, 17, 9},
                                  {4, 40, 31},
                                  {6, 64, 33},
                                  {11, 77, 40},
                                  {48, 136, 16},
                                  {1, 20, 300},
                                  {2, 9, 517},
                                  {3, 11, 263},
                                  {4, 6, 1030}}) {
      for (bool accumulate : {false, true}) {
        const std::string what =
            std::to_string(m) + 'x' + std::to_string(n) + 'x' + std::to_string(k) + ' ' + c10::toString(dtype) + (accumulate ? " +=" : "");
        const at::Tensor a = at::randn({m, k}), b = at::randn({k, n}).to(dtype), b_columns = b.t().contiguous();
        const at::Tensor before = accumulate ? at::randn({m, n}) : at::zeros({m, n}), c = before.clone(), d = before.clone();
        kernels::tile_by_rows(dtype)({m, n, k, a.data_ptr<float>(), k, 1, b.data_ptr(), n, 1, c.data_ptr<float>(), n, accumulate});
        expect_product(a, b, before, c, "rows " + what);
        kernels::tile_by_columns(dtype)(
            {m, n, k, a.data_ptr<float>(), k, 1, b_columns.data_ptr(), 1, k, d.data_ptr<float>(), n, accumulate});
        expect_product(a, b, before, d, "columns " + what);
      }
    }
  }
}

TEST_P(Tiles, Panels) {
  const int64_t width = kernels::vector_width();
  for (auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const auto& [n, k] : {std::array<int64_t, 2>{1, 1}, {40, 64}, {77, 33}, {128, 40}, {5, 100}}) {
      const int64_t m = 7, columns = kernels::round_up(n, width);
      const at::Tensor a = at::randn({m, k}), b = at::randn({k, n + 3}).to(dtype).narrow(1, 0, n), b_columns = b.t().contiguous();
      const at::Tensor padded = at::constant_pad_nd(b.to(at::kFloat), {0, columns - n}), zeros = at::zeros({m, columns});
      std::vector<float> panels(static_cast<size_t>(kernels::panel_columns(n) * k), NAN);  // padding must be written
      at::Tensor c = at::empty({m, columns});
      const Tile tile{m, columns, k, a.data_ptr<float>(), k, 1, panels.data(), k, 1, c.data_ptr<float>(), columns};
      kernels::pack(b.data_ptr(), dtype, k, n, n + 3, panels.data());
      kernels::tile_by_panels(tile);
      expect_product(a, padded, zeros, c, "packed");
      std::fill(panels.begin(), panels.end(), NAN);
      kernels::pack_transposed(b_columns.data_ptr(), dtype, n, k, k, panels.data());
      kernels::tile_by_panels(tile);
      expect_product(a, padded, zeros, c, "packed from columns");
    }
  }
}

// Every half and every bfloat16 there is.
TEST_P(Tiles, WidenIsExact) {
  std::vector<uint16_t> bits(1 << 16);
  std::iota(bits.begin(), bits.end(), uint16_t{0});
  std::vector<float> wide(bits.size());
  for (auto dtype : {at::kBFloat16, at::kHalf}) {
    const at::Tensor all = at::from_blob(bits.data(), {1 << 16}, dtype);
    kernels::widen(bits.data(), dtype, 1 << 16, 1, wide.data());
    EXPECT_TRUE(at::allclose(at::from_blob(wide.data(), {1 << 16}), all.to(at::kFloat), 0, 0, /*equal_nan=*/true)) << dtype;
  }
}

TEST_P(Tiles, ExpAndSum) {
  for (int64_t n : {1, 7, 16, 100}) {
    const at::Tensor x = at::randn({n}) * 20, shifted = x.to(at::kDouble) - 30, y = x.clone();
    const float sum = kernels::exp_and_sum(y.data_ptr<float>(), n, 30);
    const at::Tensor normal = at::where(shifted < -87.33654, 0.0, shifted.exp());  // zero below the smallest normal number
    EXPECT_TRUE(at::allclose(y.to(at::kDouble), normal, 1e-5, 0));
    const double total = normal.sum().item<double>();
    EXPECT_NEAR(sum, total, 1e-5 * total);
  }
  float special[] = {-kInf, -1e30f, 0, 88};
  EXPECT_FLOAT_EQ(kernels::exp_and_sum(special, 4, 0), 1 + std::exp(88.0f));
  EXPECT_EQ(special[0], 0);
  EXPECT_EQ(special[1], 0);
  EXPECT_EQ(special[2], 1);
  float odd[] = {1, NAN};
  EXPECT_TRUE(std::isnan(kernels::exp_and_sum(odd, 2, 0)));
  EXPECT_FALSE(std::isnan(odd[0]));
}

TEST_P(Tiles, Rows) {
  const int64_t n = 37;
  const at::Tensor x = at::randn({n}), y = at::randn({n}), p = at::rand({n});
  EXPECT_EQ(kernels::row_max(x.data_ptr<float>(), n), x.max().item<float>());
  EXPECT_NEAR(kernels::dot_rows(x.data_ptr<float>(), y.data_ptr<float>(), n), x.dot(y).item<float>(), 1e-5);
  at::Tensor gradient = y.clone();
  kernels::softmax_gradient(p.data_ptr<float>(), gradient.data_ptr<float>(), n, 0.5, 2);
  EXPECT_TRUE(at::allclose(gradient, p * (y - 0.5) * 2));
  at::Tensor scaled = x.clone();
  kernels::scale_row(scaled.data_ptr<float>(), n, 3);
  EXPECT_TRUE(at::equal(scaled, x * 3));
}

}  // namespace
}  // namespace torch_hpu
