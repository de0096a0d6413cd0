// Levels and passes of the expressions, and what follows from them: which values are saved between walks, whether a reduction
// is split, what a vector of points costs.
#include "csrc/codegen/plan.h"

#include <algorithm>

namespace torch_hpu::codegen {

static constexpr int64_t kSavedBytes = 64 << 10;   // on the stack, in the second level cache
static constexpr int kSavedCost = 8;               // cycles above which reading a vector back beats computing it again
static constexpr int64_t kChunkPoints = 16 << 10;  // points that make an item of a split reduction worth its while
static constexpr int64_t kSplitBelow = 64;         // items

int64_t Plan::kept_points() const {
  int64_t n = 1;
  for (int d = 0; d < kept(); ++d) {
    n *= loop.sizes[d];
  }
  return n;
}

int64_t Plan::reduced_points() const {
  int64_t n = 1;
  for (int d = kept(); d < rank(); ++d) {
    n *= loop.sizes[d];
  }
  return n;
}

int64_t Plan::items() const {
  if (row_mode) {
    return kept_points();
  }
  const int64_t n = loop.sizes[vector_dim];
  return kept_points() / n * ((n + block() - 1) / block());
}

void analyse(Plan& plan) {
  const Loop& loop = plan.loop;
  const uint64_t kept_bits = (uint64_t{1} << loop.kept) - 1;
  const auto moving = [](const DimVector& v) {
    uint64_t bits = 0;
    for (size_t d = 0; d < v.size(); ++d) {
      bits |= uint64_t{v[d] != 0} << d;
    }
    return bits;
  };
  plan.dims.assign(loop.exprs.size(), 0);
  plan.pass.assign(loop.exprs.size(), 0);
  plan.passes = 0;
  for (size_t i = 0; i < loop.exprs.size(); ++i) {
    const Expr& e = loop.exprs[i];
    if (plan.affine_of[i] >= 0) {
      plan.dims[i] = moving(plan.affines[plan.affine_of[i]].coefs);
      continue;
    }
    for (int k = 0; k < traits(e.op).operands; ++k) {
      plan.dims[i] |= plan.dims[operands(e)[k]];
      plan.pass[i] = std::max(plan.pass[i], plan.pass[operands(e)[k]]);
    }
    if (is_load(e.op)) {
      plan.dims[i] |= moving(loop.accesses[e.imm_i].strides);
    } else if (is_reduce(e.op)) {
      plan.dims[i] &= kept_bits;
      plan.passes = std::max(plan.passes, ++plan.pass[i]);
    }
  }
  plan.point_stores = false;
  for (const Store& s : loop.stores) {
    plan.point_stores = plan.point_stores || is_point_store(plan, s);
  }
}

bool is_point_store(const Plan& plan, const Store& s) {
  uint64_t bits = plan.dims[s.value] | (s.at == kNoExpr ? 0 : plan.dims[s.at]);
  for (int d = 0; d < plan.rank(); ++d) {
    bits |= uint64_t{plan.loop.accesses[s.access].strides[d] != 0} << d;
  }
  return bits >> plan.kept() != 0;
}

std::vector<ExprId> walk_roots(const Plan& plan, int pass) {
  std::vector<ExprId> roots;
  if (pass <= plan.passes) {
    for (size_t i = 0; i < plan.loop.exprs.size(); ++i) {
      if (is_reduce(plan.loop.exprs[i].op) && plan.pass[i] == pass) {
        roots.push_back(plan.loop.exprs[i].a);
      }
    }
    return roots;
  }
  for (const Store& s : plan.loop.stores) {
    if (is_point_store(plan, s)) {
      roots.push_back(s.value);
      if (s.at != kNoExpr) {
        roots.push_back(s.at);
      }
    }
  }
  return roots;
}

void choose_saved(Plan& plan) {
  const Loop& loop = plan.loop;
  const int walks = plan.passes + (plan.point_stores ? 1 : 0);
  int64_t outer = 1;
  for (int d = plan.kept(); d < plan.rank(); ++d) {
    const int64_t n = loop.sizes[d];
    outer *= plan.row_mode && d == plan.vector_dim ? (n + plan.lanes - 1) / plan.lanes * plan.lanes : n;
  }
  plan.saved_stride = plan.row_mode ? outer : outer * plan.block();
  if (walks < 2 || plan.split_dim >= 0 || plan.saved_stride * 4 > kSavedBytes) {
    return;
  }
  // What it costs to compute an expression again, its operands included (counted as often as they are used: an estimate).
  std::vector<int64_t> cost(loop.exprs.size(), 0);
  for (size_t i = 0; i < loop.exprs.size(); ++i) {
    if (plan.is_point(static_cast<ExprId>(i)) && plan.affine_of[i] < 0) {
      cost[i] = traits(loop.exprs[i].op).cost;
      for (int k = 0; k < traits(loop.exprs[i].op).operands; ++k) {
        cost[i] = std::min<int64_t>(cost[i] + cost[operands(loop.exprs[i])[k]], 1000);
      }
    }
  }
  std::vector<int> computed(loop.exprs.size(), 0);  // the first walk that computes it
  std::vector<bool> saved(loop.exprs.size(), false);
  int64_t bytes = 0;
  for (int walk = 1; walk <= walks; ++walk) {
    std::vector<ExprId> open = walk_roots(plan, walk);
    std::vector<bool> seen(loop.exprs.size(), false);
    while (!open.empty()) {
      const ExprId e = open.back();
      open.pop_back();
      if (seen[e] || saved[e] || !plan.is_point(e) || plan.affine_of[e] >= 0) {
        continue;
      }
      seen[e] = true;
      const auto dtype = loop.exprs[e].dtype;
      const int64_t size = plan.saved_stride * static_cast<int64_t>(c10::elementSize(dtype));
      if (computed[e] > 0 && computed[e] < walk && cost[e] >= kSavedCost && plan.varies(e) && (plan.dims[e] >> (plan.rank() - 1)) != 0 &&
          dtype != c10::ScalarType::Bool && bytes + size <= kSavedBytes) {
        saved[e] = true;
        bytes += size;
        plan.saved.push_back({e, computed[e]});
        continue;
      }
      computed[e] = computed[e] > 0 ? computed[e] : walk;
      for (int k = 0; k < traits(loop.exprs[e].op).operands; ++k) {
        open.push_back(operands(loop.exprs[e])[k]);
      }
    }
  }
}

void choose_split(Plan& plan) {
  const int64_t items = plan.kept_points() == 0 ? 0 : plan.items();
  const int64_t points = plan.reduced_points() * (plan.row_mode ? 1 : plan.block());  // of one item
  if (plan.passes == 0 || items == 0 || items >= kSplitBelow || points < 2 * kChunkPoints) {
    return;
  }
  int dim = plan.kept();
  for (int d = plan.kept(); d < plan.rank(); ++d) {
    dim = plan.loop.sizes[d] > plan.loop.sizes[dim] ? d : dim;
  }
  const int64_t size = plan.loop.sizes[dim];
  const int64_t wanted = std::clamp<int64_t>(points / kChunkPoints, 2, std::max<int64_t>(2, 4 * kSplitBelow / items));
  const int64_t unit = plan.row_mode && dim == plan.vector_dim ? plan.block() : 1;
  const int64_t chunk = ((size + wanted - 1) / wanted + unit - 1) / unit * unit;
  if (chunk >= size) {
    return;
  }
  plan.split_dim = dim;
  plan.chunk = chunk;
  plan.chunks = (size + chunk - 1) / chunk;
}

static int64_t estimate_cost(const Plan& plan) {
  int64_t cost = 2;
  for (size_t i = 0; i < plan.loop.exprs.size(); ++i) {
    cost += plan.affine_of[i] >= 0 || plan.dims[i] == 0 ? 0 : traits(plan.loop.exprs[i].op).cost + 1;
  }
  return cost + 2 * static_cast<int64_t>(plan.loop.stores.size());
}

void choose(Plan& plan, int vector_bytes) {
  plan.vector_bytes = vector_bytes;
  analyse(plan);
  choose_vector_dim(plan, vector_bytes);
  choose_split(plan);
  choose_saved(plan);
  plan.cost_per_vector = estimate_cost(plan);
}

Plan make_plan(const Loop& loop, int vector_bytes) {
  Plan plan = normalise(loop);
  choose(plan, vector_bytes);
  return plan;
}

}  // namespace torch_hpu::codegen
