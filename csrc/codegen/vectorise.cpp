// Chooses the vector dim by what a point would cost along each candidate, then how wide and how often unrolled.
#include <algorithm>

#include "csrc/codegen/plan.h"

namespace torch_hpu::codegen {
namespace {

using c10::ScalarType;

// Lanes: one register of what the loop mostly computes with. 8-byte values next to 4-byte ones take two registers.
int choose_lanes(const Plan& plan, int vector_bytes) {
  bool four = false, eight = false, two = false;
  for (size_t i = 0; i < plan.loop.exprs.size(); ++i) {
    const Expr& e = plan.loop.exprs[i];
    if (e.op == Op::kConst || e.op == Op::kScalar) {
      continue;
    }
    const size_t size = e.dtype == ScalarType::Bool ? 0 : c10::elementSize(e.dtype);
    eight = eight || size == 8;
    four = four || size == 4;
    two = two || size == 2;
  }
  return vector_bytes / (four ? 4 : eight ? 8 : two ? 2 : 1);
}

// Cycles of one vector of an access whose stride along the vector dim is `stride`.
double access_cost(int64_t stride, int lanes) {
  return stride == 0 ? 0.2 : stride == 1 ? 1.0 : 0.5 * lanes;
}

double cost_along(const Plan& plan, int dim, int lanes) {
  const bool row_mode = dim >= plan.kept();
  const double n = static_cast<double>(std::max<int64_t>(plan.loop.sizes[dim], 1));
  const double reduced = static_cast<double>(std::max<int64_t>(plan.reduced_points(), 1));
  double cost = 0.5;
  const auto add_access = [&](const Access& a) {
    bool moves = plan.reduced() == 0;
    for (int d = plan.kept(); d < plan.rank(); ++d) {
      moves = moves || a.strides[d] != 0;
    }
    cost += moves ? access_cost(a.strides[dim], lanes) : (row_mode ? lanes : access_cost(a.strides[dim], lanes)) / reduced;
  };
  int reduces = 0;
  for (const Expr& e : plan.loop.exprs) {
    if (e.op == Op::kLoad) {
      add_access(plan.loop.accesses[e.imm_i]);
    } else {
      cost += 0.25 * traits(e.op).cost;
    }
    reduces += is_reduce(e.op) ? 1 : 0;
  }
  for (const Store& s : plan.loop.stores) {
    add_access(plan.loop.accesses[s.access]);
  }
  const double vectors = std::ceil(n / lanes);
  const double start = row_mode ? 4 + 12.0 * reduces : 4;  // combining lanes; entering the loop
  return (cost * vectors + start) * lanes / n / lanes;
}

void move_dim(Plan& plan, int from, int to) {
  const auto rotate = [&](DimVector& v) {
    if (from < to) {
      std::rotate(v.begin() + from, v.begin() + from + 1, v.begin() + to + 1);
    } else {
      std::rotate(v.begin() + to, v.begin() + from, v.begin() + from + 1);
    }
  };
  rotate(plan.loop.sizes);
  rotate(plan.linear);
  for (Access& a : plan.loop.accesses) {
    rotate(a.strides);
  }
  for (Affine& a : plan.affines) {
    rotate(a.coefs);
  }
}

// A pointwise loop that reads along another dim than it writes (a transpose): that dim becomes the inner loop of a block of
// columns, as a reduced dim without Reduces is, so that the cache lines of both sides are used up while they are near.
void nest_transposed_dim(Plan& plan) {
  if (plan.passes > 0 || plan.reduced() > 0 || plan.kept() < 2) {
    return;
  }
  const int v = plan.vector_dim;
  for (const Expr& e : plan.loop.exprs) {
    if (e.op != Op::kLoad) {
      continue;
    }
    const Access& a = plan.loop.accesses[e.imm_i];
    if (std::abs(a.strides[v]) <= 1) {
      continue;
    }
    for (int d = 0; d < v; ++d) {
      if (a.strides[d] == 1) {
        const int64_t size = plan.loop.sizes[d];
        for (int64_t tile = 64; tile >= 16; --tile) {
          if (size % tile == 0 && size > tile) {  // keep the outer part: pages are few within a tile, and threads have items
            const auto split = [&](DimVector& m) { m.insert(m.begin() + d, m[d] * tile); };
            for (Access& x : plan.loop.accesses) {
              split(x.strides);
            }
            for (Affine& x : plan.affines) {
              split(x.coefs);
            }
            split(plan.linear);
            plan.loop.sizes.insert(plan.loop.sizes.begin() + d, size / tile);
            plan.loop.sizes[d + 1] = tile;
            ++plan.loop.kept;
            ++plan.vector_dim;
            move_dim(plan, d + 1, plan.rank() - 1);
            --plan.vector_dim;
            --plan.loop.kept;
            return;
          }
        }
        move_dim(plan, d, plan.rank() - 1);
        --plan.vector_dim;
        --plan.loop.kept;
        return;
      }
    }
  }
}

int choose_unroll(const Plan& plan) {
  int64_t cost = 0, wide = 1;
  for (size_t i = 0; i < plan.loop.exprs.size(); ++i) {
    const Expr& e = plan.loop.exprs[i];
    if (plan.varies(static_cast<ExprId>(i))) {
      cost += traits(e.op).cost;
      wide = std::max<int64_t>(wide, e.dtype == ScalarType::Bool ? 1 : c10::elementSize(e.dtype));
    }
  }
  cost += static_cast<int64_t>(plan.loop.stores.size());
  // Reductions need independent partial sums; columns gain by long runs of each row; pointwise code overlaps anyway.
  int unroll = plan.passes == 0 ? (cost <= 8 ? 4 : cost <= 40 ? 2 : 1) : cost <= 60 ? 4 : cost <= 150 ? 2 : 1;
  if (plan.passes > 0 && !plan.row_mode && cost <= 40) {
    unroll = 8;
  }
  if (wide == 8 && plan.lanes >= 16) {
    unroll = std::max(1, unroll / 2);  // two registers a value
  }
  while (unroll > 1 && plan.loop.sizes[plan.vector_dim] < int64_t{plan.lanes} * unroll) {
    unroll /= 2;
  }
  return unroll;
}

}  // namespace

void choose_vector_dim(Plan& plan, int vector_bytes) {
  plan.lanes = choose_lanes(plan, vector_bytes);
  int best = plan.rank() - 1;
  double best_cost = 0;
  for (int d = plan.rank() - 1; d >= 0; --d) {
    const double cost = cost_along(plan, d, plan.lanes);
    if (d == plan.rank() - 1 || cost < best_cost) {
      best = d;
      best_cost = cost;
    }
  }
  plan.row_mode = best >= plan.kept();
  plan.vector_dim = (plan.row_mode ? plan.rank() : plan.kept()) - 1;
  move_dim(plan, best, plan.vector_dim);
  nest_transposed_dim(plan);
  analyse(plan);  // dims have moved
  plan.unroll = choose_unroll(plan);
}

}  // namespace torch_hpu::codegen
