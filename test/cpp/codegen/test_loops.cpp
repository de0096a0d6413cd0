// Random loops: every shape of iteration space, stride and reduction, compared exactly. All values stay small integers, so that
// no order of evaluation can round.
#include <algorithm>
#include <numeric>

#include "csrc/codegen/op_traits.h"
#include "test/cpp/codegen/harness.h"
#include "test/cpp/codegen/widths.h"

namespace torch_hpu::codegen {
namespace {

class RandomLoop {
 public:
  RandomLoop(uint64_t seed, int64_t max_points) : random_(seed), b_("random_" + std::to_string(seed), {}, 0) {
    choose_space(max_points);
    const int loads = 1 + pick(4);
    for (int i = 0; i < loads; ++i) {
      add_load();
    }
    if (pick(3) == 0 && !b_.loop.sizes.empty()) {
      values_.push_back(bounded(b_.cast(remainder(b_.index(pick(rank())), 7), S::Float)));
    }
    const int steps = 1 + pick(10);
    for (int i = 0; i < steps; ++i) {
      add_op();
    }
    const int stores = 1 + pick(3);
    for (int i = 0; i < stores; ++i) {
      add_store(values_[values_.size() - 1 - pick(std::min<int>(3, values_.size()))]);
    }
  }

  Memory memory;
  Loop& loop() {
    return b_.loop;
  }

 private:
  int pick(int n) {
    return static_cast<int>(random_() % static_cast<uint64_t>(n));
  }
  int rank() const {
    return static_cast<int>(b_.loop.sizes.size());
  }
  S dtype(ExprId e) const {
    return b_.loop.exprs[e].dtype;
  }

  void choose_space(int64_t max_points) {
    static constexpr int64_t kSizes[] = {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 70, 100, 128, 130, 300};
    const int rank = pick(5);
    int64_t points = 1;
    for (int d = 0; d < rank; ++d) {
      int64_t n = kSizes[pick(std::size(kSizes))];
      while (points * n > max_points) {
        n = std::max<int64_t>(1, n / 2);
      }
      if (pick(60) == 0) {
        n = 0;
      }
      b_.loop.sizes.push_back(n);
      points *= std::max<int64_t>(n, 1);
    }
    b_.loop.kept = static_cast<uint32_t>(pick(2) == 0 ? rank : pick(rank + 1));
  }

  // Strides of a dense tensor over some of the dims in a random order. Returns the number of elements.
  int64_t random_strides(std::vector<int64_t>& strides, const std::vector<bool>& moves, bool gaps) {
    std::vector<int> order(rank());
    std::iota(order.begin(), order.end(), 0);
    if (pick(3) == 0) {
      std::shuffle(order.begin(), order.end(), random_);
    }
    strides.assign(rank(), 0);
    int64_t step = gaps && pick(6) == 0 ? 2 : 1;
    for (int i = rank() - 1; i >= 0; --i) {
      const int d = order[i];
      if (moves[d]) {
        strides[d] = step;
        step *= std::max<int64_t>(1, b_.loop.sizes[d]) + (gaps && pick(5) == 0 ? 3 : 0);
      }
    }
    return step;
  }

  void add_load() {
    static constexpr S kTypes[] = {S::Float, S::Float, S::Float, S::Double, S::Half,  S::BFloat16,
                                   S::Int,   S::Long,  S::Byte,  S::Bool,   S::Short, S::Char};
    const S t = kTypes[pick(std::size(kTypes))];
    std::vector<bool> moves(rank());
    for (int d = 0; d < rank(); ++d) {
      moves[d] = pick(4) != 0;
    }
    std::vector<int64_t> strides;
    int64_t n = random_strides(strides, moves, true), offset = pick(3) == 0 ? 5 : 0;
    n += offset;
    if (pick(5) == 0 && rank() > 0) {  // backwards along one dim
      const int d = pick(rank());
      offset += strides[d] * std::max<int64_t>(0, b_.loop.sizes[d] - 1);
      strides[d] = -strides[d];
    }
    std::vector<double> data(n);
    for (double& x : data) {
      x = t == S::Bool ? pick(2) : t == S::Byte ? pick(4) : pick(7) - 3;
    }
    const uint32_t buffer = memory.add(t, data);
    const ExprId e = b_.load(b_.access(buffer, t, strides, offset));
    values_.push_back(pick(2) == 0 && t != S::Bool ? e : b_.cast(e, S::Float));
  }

  ExprId remainder(ExprId e, double n) {
    return b_.binary(Op::kRemainder, e, b_.constant(dtype(e), n));
  }
  // Within [-4, 4], so that sums of products stay exact in every dtype.
  ExprId bounded(ExprId e) {
    const S t = dtype(e);
    if (t == S::Bool) {
      return e;
    }
    e = b_.binary(Op::kMin, e, b_.constant(t, 4));
    return t == S::Byte ? e : b_.binary(Op::kMax, e, b_.constant(t, -4));
  }

  ExprId any(S t) {
    const ExprId e = values_[pick(static_cast<int>(values_.size()))];
    return dtype(e) == t ? e : b_.cast(e, t);
  }

  void add_op() {
    const ExprId x = values_[pick(static_cast<int>(values_.size()))];
    const S t = dtype(x);
    static constexpr Op kBinary[] = {Op::kAdd, Op::kMul, Op::kMin, Op::kMax};
    static constexpr Op kReduces[] = {Op::kReduceSum, Op::kReduceSum, Op::kReduceMin, Op::kReduceMax, Op::kReduceArgMin, Op::kReduceArgMax};
    switch (pick(6)) {
      case 0:
      case 1:
        values_.push_back(bounded(b_.binary(kBinary[pick(4)], x, any(t))));
        break;
      case 2:
        values_.push_back(b_.select(b_.compare(pick(2) ? Op::kLt : Op::kEq, x, any(t)), x, any(t)));
        break;
      case 3: {
        static constexpr S kTypes[] = {S::Float, S::Double, S::Int, S::Long, S::Short, S::Char};
        values_.push_back(bounded(b_.cast(x, kTypes[pick(6)])));
        break;
      }
      default: {
        Op op = kReduces[pick(6)];
        const int64_t reduced = std::accumulate(b_.loop.sizes.begin() + b_.loop.kept, b_.loop.sizes.end(), int64_t{1}, std::multiplies<>());
        if (reduced == 0) {
          op = Op::kReduceSum;
        }
        if (t == S::Char || t == S::Byte || t == S::Short) {
          values_.push_back(bounded(b_.cast(remainder(b_.cast(b_.expr(op, is_arg_reduce(op) ? S::Long : t, x), S::Long), 5), t)));
        } else if (is_arg_reduce(op)) {
          values_.push_back(bounded(b_.cast(remainder(b_.expr(op, S::Long, x), 5), S::Float)));
        } else {
          values_.push_back(bounded(b_.expr(op, t, x)));
        }
      }
    }
  }

  bool point_level(ExprId id) const {
    const Expr& e = b_.loop.exprs[id];
    if (is_reduce(e.op)) {
      return false;
    }
    for (int k = 0; k < traits(e.op).operands; ++k) {
      if (point_level(operands(e)[k])) {
        return true;
      }
    }
    for (int d = static_cast<int>(b_.loop.kept); d < rank(); ++d) {
      if ((e.op == Op::kLoad && b_.loop.accesses[e.imm_i].strides[d] != 0 && b_.loop.sizes[d] != 1) ||
          (e.op == Op::kIndex && e.imm_i == d && b_.loop.sizes[d] != 1)) {
        return true;
      }
    }
    return false;
  }

  void add_store(ExprId value) {
    static constexpr S kTypes[] = {S::Float, S::Half, S::BFloat16};
    const S t = dtype(value) == S::Float ? kTypes[pick(3)] : dtype(value);
    const bool point = point_level(value);
    std::vector<bool> moves(rank());
    for (int d = 0; d < rank(); ++d) {
      moves[d] = point || d < static_cast<int>(b_.loop.kept);
    }
    std::vector<int64_t> strides;
    const int64_t n = random_strides(strides, moves, true);
    const uint32_t buffer = memory.add(t, std::vector<double>(n, 1));
    b_.store(b_.access(buffer, t, strides), value);
  }

  std::mt19937_64 random_;
  LoopBuilder b_;
  std::vector<ExprId> values_;
};

void run_random(uint64_t first, uint64_t count, int64_t max_points) {
  for (uint64_t seed = first; seed < first + count && !::testing::Test::HasFailure(); ++seed) {
    RandomLoop r(seed, max_points);
    expect_agrees(r.loop(), r.memory, {0, 0});
  }
}

class Loops : public Widths {};
INSTANTIATE_TEST_SUITE_P(Bytes, Loops, ::testing::Values(64, 32, 16), [](const auto& info) { return std::to_string(info.param); });

TEST_P(Loops, RandomSmall) {
  run_random(1, 250, 2000);
}

TEST_P(Loops, RandomLarge) {  // long rows, many items, split reductions
  run_random(10000, 25, 90000);
}

}  // namespace
}  // namespace torch_hpu::codegen
