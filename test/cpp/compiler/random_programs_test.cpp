// Random programs of pointwise ops, reductions, views and in-place writes: both tiers must leave what ATen leaves in every observable buffer.
// TORCH_HPU_TEST_PROGRAMS sets how many run, TORCH_HPU_TEST_SEED the first one's seed.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "test/cpp/compiler/recorder.h"

namespace torch_hpu {
namespace {

using at::Tensor;
using testing::Recorder;

class Author {
 public:
  explicit Author(unsigned seed) : random_(seed) {
    at::manual_seed(seed);
    for (int64_t& n : sizes_) {
      n = pick(std::vector<int64_t>{1, 2, 3, 4, 6, 17, 32});
    }
    const auto [a, b, c] = sizes_;
    for (const auto& shape : std::vector<std::vector<int64_t>>{{a, b, c}, {a, b, c}, {b, c}, {c}, {a, 1, c}, {a, b, 1}, {a * b, c}, {}}) {
      pool_.push_back(chance(4) ? at::randint(-4, 5, shape, at::kLong) : at::randn(shape));
    }
  }

  void write(Recorder& r, int ops) {
    for (int i = 0; i < ops; ++i) {
      step(r);
    }
    bool any = false;
    for (const Tensor& t : made_) {
      if (chance(3)) {
        r.observe(t);
        any = true;
      }
    }
    if (!any && !made_.empty()) {
      r.observe(made_.back());
    }
  }

 private:
  size_t below(size_t n) {
    return random_() % n;
  }
  bool chance(size_t one_in) {
    return below(one_in) == 0;
  }
  template <typename T>
  T pick(const std::vector<T>& options) {
    return options[below(options.size())];
  }

  Tensor view(Tensor t, bool writable) {
    for (size_t n = below(3); n-- > 0;) {
      switch (below(6)) {
        case 0:
          if (t.dim() >= 2) {
            t = t.transpose(static_cast<int64_t>(below(t.dim())), static_cast<int64_t>(below(t.dim())));
          }
          break;
        case 1:
          if (t.dim() >= 1 && t.size(0) > 2) {
            t = t.slice(0, static_cast<int64_t>(below(2)), t.size(0) - static_cast<int64_t>(below(2)));
          }
          break;
        case 2:
          if (t.dim() >= 1 && t.size(-1) > 3) {
            t = t.slice(-1, static_cast<int64_t>(below(2)), t.size(-1), 2);
          }
          break;
        case 3:
          if (t.dim() >= 2) {
            t = t.select(0, static_cast<int64_t>(below(static_cast<size_t>(t.size(0)))));
          }
          break;
        case 4:
          if (t.dim() >= 2 && t.is_contiguous()) {
            t = t.flatten(0, 1);
          } else if (t.dim() < 3) {
            t = t.unsqueeze(static_cast<int64_t>(below(t.dim() + 1)));
          }
          break;
        case 5:
          if (!writable && t.dim() >= 1 && t.dim() < 3) {
            std::vector<int64_t> wide = t.sizes().vec();
            wide.insert(wide.begin(), 2);
            t = t.expand(wide);
          }
          break;
      }
    }
    return t;
  }
  Tensor any() {
    return view(chance(2) && !made_.empty() ? made_[made_.size() - 1 - below(std::min<size_t>(made_.size(), 5))] : pick(pool_), false);
  }
  Tensor floating() {
    for (int i = 0; i < 20; ++i) {
      if (Tensor t = any(); t.is_floating_point()) {
        return t;
      }
    }
    return pool_.emplace_back(at::randn({sizes_[1], sizes_[2]}));
  }
  static bool broadcastable(const Tensor& a, const Tensor& b) {
    for (int64_t d = 1; d <= std::min(a.dim(), b.dim()); ++d) {
      if (a.size(-d) != b.size(-d) && a.size(-d) != 1 && b.size(-d) != 1) {
        return false;
      }
    }
    return true;
  }
  Tensor partner(const Tensor& a) {
    for (int i = 0; i < 30; ++i) {
      Tensor b = any();
      if (broadcastable(a, b)) {
        return b;
      }
    }
    return a;
  }

  void keep(const Tensor& t) {
    made_.push_back(t);
  }

  void step(Recorder& r) {
    switch (below(10)) {
      case 0:
      case 1: {
        const Tensor x = floating();
        const char* name = pick(std::vector<const char*>{"tanh", "sigmoid", "neg", "relu", "abs", "sin", "silu"});
        for (size_t n = chance(3) ? 2 : 1; n-- > 0;) {  // now and then the same twice
          keep(r.op(name, {x}));
        }
        break;
      }
      case 2:
      case 3:
      case 4: {
        const Tensor a = any(), b = partner(a);
        const char* name = pick(std::vector<const char*>{"add.Tensor", "sub.Tensor", "mul.Tensor", "maximum", "minimum"});
        const Tensor c = r.op(name, {a, b});
        keep(c.is_floating_point() ? r.op("tanh", {c}) : r.op("remainder.Scalar", {c, 7}));
        break;
      }
      case 5: {
        const Tensor x = any();
        if (x.dim() == 0) {
          break;
        }
        const auto d = static_cast<int64_t>(below(x.dim()));
        if (x.is_floating_point()) {
          keep(r.op(pick(std::vector<const char*>{"mean.dim", "amax", "amin"}), {x, std::vector<int64_t>{d}, chance(2)}));
        } else if (chance(2)) {
          keep(r.op("sum.dim_IntList", {x, std::vector<int64_t>{d}, chance(2)}));
        } else {
          keep(r.op(pick(std::vector<const char*>{"argmax", "argmin"}), {x, d, chance(2)}));
        }
        break;
      }
      case 6: {
        const Tensor x = floating();
        if (x.dim() == 0) {
          break;
        }
        if (chance(2)) {
          const auto d = static_cast<int64_t>(below(x.dim()));
          for (size_t n = chance(3) ? 2 : 1; n-- > 0;) {
            keep(r.op("_softmax", {x, d, false}));
          }
        } else {
          keep(r.call("native_layer_norm", {x, std::vector<int64_t>{x.size(-1)}, Tensor(), Tensor(), 1e-3})[0]);
        }
        break;
      }
      case 7:
      case 8: {  // in place, through a view
        const Tensor target = view(chance(2) && !made_.empty() ? pick(made_) : pick(pool_), true);
        const Tensor other = partner(target);
        if (at::infer_size(target.sizes(), other.sizes()) != target.sizes().vec() ||
            (!target.is_floating_point() && other.is_floating_point())) {
          r.into(target, "mul.Scalar", {target, target.is_floating_point() ? c10::IValue(0.5) : c10::IValue(-1)});
        } else if (chance(3)) {
          r.into(target, "copy", {target, other, false});
        } else {
          r.into(target, pick(std::vector<const char*>{"add.Tensor", "sub.Tensor", "maximum"}), {target, other});
        }
        break;
      }
      case 9: {
        const Tensor a = any();
        if (a.dim() > 0) {
          const auto d = static_cast<int64_t>(below(a.dim()));
          if (chance(2)) {
            keep(r.op("cat", {std::vector<Tensor>{a, a}, d}));
          } else {
            keep(r.op("index_select", {a, d, at::randint(0, a.size(d), {4}, at::kLong)}));
          }
        }
        break;
      }
    }
  }

  std::mt19937 random_;
  std::array<int64_t, 3> sizes_{};
  std::vector<Tensor> pool_, made_;
};

int64_t setting(const char* name, int64_t value) {
  const char* text = std::getenv(name);
  return text == nullptr ? value : std::atoll(text);
}

TEST(RandomPrograms, BothTiersComputeWhatAtenComputes) {
  const int64_t first = setting("TORCH_HPU_TEST_SEED", 0), n = setting("TORCH_HPU_TEST_PROGRAMS", 60);
  size_t nodes = 0, kernels = 0, extern_calls = 0;
  for (int64_t seed = first; seed < first + n; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Recorder recorder;
    Author(static_cast<unsigned>(seed)).write(recorder, 14);
    const testing::Counts counts = testing::check(recorder, 1e-4);
    nodes += recorder.graph().nodes.size();
    kernels += counts.kernels;
    extern_calls += counts.extern_calls;
    if (HasFailure()) {
      return;
    }
  }
  // Nearly everything here has a lowering, and a good part of it must fuse.
  if (n >= 30) {
    EXPECT_LT(extern_calls * 10, nodes);
    EXPECT_LT(kernels * 2, nodes);
  }
  RecordProperty("nodes", static_cast<int>(nodes));
  RecordProperty("kernels", static_cast<int>(kernels));
}

}  // namespace
}  // namespace torch_hpu
